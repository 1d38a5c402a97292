package main

import "maps"

// variant is a body with something else in it that the generator does not come to: several fields at once, or a rule of
// the kind. It is created and put in the place of the body that it varies, as it stands.
type variant struct {
	Name string `json:"name"`
	// Of is the body that is varied; absent: the first.
	Of string `json:"of,omitempty"`
	// Put is a merge patch of the body; of a part, of the body with the kind's status.
	Put map[string]any `json:"put"`
	// Part is a subresource: the variant is an update of it.
	Part string `json:"part,omitempty"`
}

// variants of a body.
func (k *kindFile) variants(of string) []variant {
	var found []variant
	for _, one := range k.Variants {
		if one.Of == of || one.Of == "" && of == k.Bodies[0].Name {
			found = append(found, one)
		}
	}
	return found
}

func (k *kindFile) createVariants(scenario string, one namedBody) []Step {
	var steps []Step
	for _, v := range k.variants(one.Name) {
		if v.Part == "" {
			steps = append(steps, k.step(scenario, v.Name, "POST", k.Path, merged(one.Body, v.Put)))
		}
	}
	return steps
}

// updateVariants puts them in the place of the object that was made of the body.
func (k *kindFile) updateVariants(scenario, object string, of string, body map[string]any) []Step {
	var steps []Step
	for _, v := range k.variants(of) {
		if v.Part == "" {
			steps = append(steps, k.step(scenario, v.Name, "PUT", object, merged(body, v.Put)))
			continue
		}
		whole := with(body, []any{"status"}, k.Status)
		steps = append(steps, k.step(scenario, v.Part+": "+v.Name, "PUT", object+"/"+v.Part, merged(whole, v.Put)))
	}
	return steps
}

// merged is a value after a JSON merge patch; null takes a field out.
func merged(value, patch any) any {
	changes, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	object, _ := value.(map[string]any)
	result := maps.Clone(object)
	if result == nil {
		result = map[string]any{}
	}
	for name, change := range changes {
		if change == nil {
			delete(result, name)
			continue
		}
		result[name] = merged(result[name], change)
	}
	return result
}
