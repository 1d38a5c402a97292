package main

import (
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"sigs.k8s.io/yaml"
)

//go:embed corpus kinds
var corpusFiles embed.FS

// kindFile is a kind with bodies that are valid; the generator makes the invalid ones.
type kindFile struct {
	// Path of the collection.
	Path string `json:"path"`
	// Schema is the kind's name in OpenAPI documents.
	Schema string `json:"schema"`
	// Virtual kinds can only be created.
	Virtual bool `json:"virtual,omitempty"`
	// Conditional kinds are only updated with the resource version that the object has.
	Conditional bool `json:"conditional,omitempty"`
	// Status bodies are sent to /status of the first body's object.
	Status map[string]any `json:"status,omitempty"`
	// Bodies by what they show.
	Bodies []namedBody `json:"bodies"`
	// Variants of them.
	Variants []variant `json:"variants,omitempty"`
}

type namedBody struct {
	// Wait is a request that answers 200 once the server is done with the new object.
	Wait string         `json:"wait,omitempty"`
	Name string         `json:"name"`
	Body map[string]any `json:"body"`
}

// metadataMutations are tried on every kind.
var metadataMutations = []struct {
	name string
	put  map[string]any
}{
	{"labels", map[string]any{"labels": map[string]any{"a": "b", "example.com/c": ""}}},
	{"label with a bad value", map[string]any{"labels": map[string]any{"a": "not valid!"}}},
	{"label with a bad key", map[string]any{"labels": map[string]any{"-a": "b"}}},
	{"label that is too long", map[string]any{"labels": map[string]any{"a": strings.Repeat("v", 64)}}},
	{"annotations", map[string]any{"annotations": map[string]any{"a": "any text ☃"}}},
	{"annotation with a bad key", map[string]any{"annotations": map[string]any{"a b": ""}}},
	{"annotation with capitals", map[string]any{"annotations": map[string]any{"Example.com/A": ""}}},
	{"finalizer", map[string]any{"finalizers": []any{"example.com/one"}}},
	{"finalizer without a domain", map[string]any{"finalizers": []any{"one"}}},
	{"finalizer that is malformed", map[string]any{"finalizers": []any{"a b/c d"}}},
	{"both finalizers of deletion", map[string]any{"finalizers": []any{"orphan", "foregroundDeletion"}}},
	{"generation", map[string]any{"generation": 7}},
	{"negative generation", map[string]any{"generation": -7}},
	{"owner", map[string]any{"ownerReferences": []any{map[string]any{
		"apiVersion": "v1", "kind": "Node", "name": "a", "uid": "corpus-uid"}}}},
	{"owner without everything", map[string]any{"ownerReferences": []any{map[string]any{}}}},
	{"owner that is an event", map[string]any{"ownerReferences": []any{map[string]any{
		"apiVersion": "v1", "kind": "Event", "name": "a", "uid": "corpus-uid"}}}},
	{"two controllers", map[string]any{"ownerReferences": []any{
		map[string]any{"apiVersion": "v1", "kind": "Node", "name": "a", "uid": "corpus-a", "controller": true},
		map[string]any{"apiVersion": "v1", "kind": "Node", "name": "b", "uid": "corpus-b", "controller": true}}}},
	{"self link", map[string]any{"selfLink": "/x"}},
	{"uid", map[string]any{"uid": "corpus-uid"}},
	{"resource version", map[string]any{"resourceVersion": "1"}},
	{"resource version that is no number", map[string]any{"resourceVersion": "corpus-x"}},
	{"creation time", map[string]any{"creationTimestamp": "2020-01-01T00:00:00Z"}},
	{"deletion time", map[string]any{"deletionTimestamp": "2020-01-01T00:00:00Z", "deletionGracePeriodSeconds": 5}},
	{"another namespace", map[string]any{"namespace": "elsewhere"}},
	{"managed fields that are malformed", map[string]any{"managedFields": []any{map[string]any{"manager": "x"}}}},
	{"no name", map[string]any{"name": remove{}}},
	{"name with capitals", map[string]any{"name": "Capital"}},
	{"name with a slash", map[string]any{"name": "a/b"}},
	{"name with a percent sign", map[string]any{"name": "a%b"}},
	{"name with dots", map[string]any{"name": "a.b"}},
	{"name of dots", map[string]any{"name": ".."}},
	{"name with an underscore", map[string]any{"name": "a_b"}},
	{"name of 64 letters", map[string]any{"name": strings.Repeat("n", 64)}},
	{"name of 254 letters", map[string]any{"name": strings.Repeat("n", 254)}},
	{"name that ends with a dash", map[string]any{"name": "a-"}},
	{"generated name", map[string]any{"name": remove{}, "generateName": "made-"}},
	{"generated name with capitals", map[string]any{"name": remove{}, "generateName": "Made-"}},
	{"generated name that is too long", map[string]any{"name": remove{}, "generateName": strings.Repeat("g", 260)}},
}

// scenarios are the whole corpus.
func scenarios(d documents) ([]Scenario, error) {
	all, err := written()
	if err != nil {
		return nil, err
	}
	err = fs.WalkDir(corpusFiles, "kinds", func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		var kind kindFile
		if err := read(file, &kind); err != nil {
			return err
		}
		if d.definition(kind.Schema) == nil {
			return fmt.Errorf("%s: upstream has no schema %s", file, kind.Schema)
		}
		all = append(all, kind.scenarios(d, base(file))...)
		return nil
	})
	for i := range all {
		for j := range all[i].Steps {
			step := &all[i].Steps[j]
			if step.name == "" {
				step.name = fmt.Sprintf("%s/%d %s", all[i].Name, j+1, step.Do)
			}
		}
	}
	return all, err
}

// written are the scenarios of the folder corpus.
func written() ([]Scenario, error) {
	var all []Scenario
	err := fs.WalkDir(corpusFiles, "corpus", func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		var some []Scenario
		if err := read(file, &some); err != nil {
			return err
		}
		for i := range some {
			some[i].Name = base(file) + "/" + some[i].Name
		}
		all = append(all, some...)
		return nil
	})
	return all, err
}

func base(file string) string {
	return strings.TrimSuffix(path.Base(file), ".yaml")
}

func read(file string, into any) error {
	text, err := corpusFiles.ReadFile(file)
	if err != nil {
		return err
	}
	if err := yaml.UnmarshalStrict(text, into); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return nil
}

// scenarios of a kind: creates of every body with all its mutations and variants, then updates, then the same through
// /status.
func (k *kindFile) scenarios(d documents, name string) []Scenario {
	var all []Scenario
	for i, one := range k.Bodies {
		create := Scenario{Name: name + "/create " + one.Name}
		create.Steps = append(create.Steps, k.step(create.Name, "as it is", "POST", k.Path, one.Body))
		for _, m := range d.mutations(one.Body, k.Schema) {
			create.Steps = append(create.Steps, k.step(create.Name, m.name, "POST", k.Path, m.value))
		}
		if i == 0 {
			create.Steps = append(create.Steps, k.metadata(create.Name, one.Body)...)
			create.Steps = append(create.Steps, k.strictness(create.Name, one.Body)...)
		}
		create.Steps = append(create.Steps, k.createVariants(create.Name, one)...)
		all = append(all, create)
		if !k.Virtual {
			all = append(all, k.updates(d, name, one)...)
		}
	}
	return all
}

func (k *kindFile) updates(d documents, name string, one namedBody) []Scenario {
	object := k.Path + "/" + nameOf(one.Body)
	update := Scenario{Name: name + "/update " + one.Name}
	update.Steps = append(update.Steps, Step{Do: "POST " + k.Path, Body: encoded(one.Body)})
	if one.Wait != "" {
		update.Steps = append(update.Steps, Step{Do: one.Wait, Until: 200})
	}
	start := one.Body
	if k.Conditional {
		update.Steps = append(update.Steps, Step{Do: "GET " + object, Save: "present"})
		const revision = "{{present.metadata.resourceVersion}}"
		start = with(start, []any{"metadata", "resourceVersion"}, revision).(map[string]any)
	}
	for _, m := range d.mutations(start, k.Schema) {
		update.Steps = append(update.Steps, k.step(update.Name, m.name, "PUT", object, m.value))
	}
	for _, other := range k.Bodies {
		body := with(other.Body, []any{"metadata"}, start["metadata"])
		update.Steps = append(update.Steps, k.step(update.Name, "to "+other.Name, "PUT", object, body))
	}
	update.Steps = append(update.Steps, k.updateVariants(update.Name, object, one.Name, start)...)
	if k.Status != nil {
		body := with(start, []any{"status"}, k.Status).(map[string]any)
		update.Steps = append(update.Steps, k.step(update.Name, "status", "PUT", object+"/status", body))
		status := &generator{documents: d, body: body}
		schema, _ := d.resolve(child(properties(d.definition(k.Schema)), "status"))
		status.object([]any{"status"}, k.Status, schema)
		for _, m := range status.found {
			update.Steps = append(update.Steps, k.step(update.Name, "status: "+m.name, "PUT", object+"/status", m.value))
		}
	}
	update.Steps = append(update.Steps,
		Step{Do: "GET " + object, Accept: "table"},
		Step{Do: "GET " + object, Accept: "partial"},
		Step{Do: "GET " + k.Path + "?fieldSelector=metadata.name%3D" + nameOf(one.Body)},
		Step{Do: "DELETE " + object + "?dryRun=All"},
		Step{Do: "DELETE " + object, Body: encoded(map[string]any{"kind": "DeleteOptions", "apiVersion": "v1",
			"gracePeriodSeconds": 0, "propagationPolicy": "Background"})},
	)
	return []Scenario{update}
}

func (k *kindFile) metadata(scenario string, body map[string]any) []Step {
	var steps []Step
	for _, m := range metadataMutations {
		changed := any(body)
		for field, value := range m.put {
			changed = with(changed, []any{"metadata", field}, value)
		}
		steps = append(steps, k.step(scenario, m.name, "POST", k.Path, changed))
	}
	return steps
}

// strictness sends unknown and doubled fields under each level of field validation, and bodies that are not of the kind.
func (k *kindFile) strictness(scenario string, body map[string]any) []Step {
	var steps []Step
	unknown := with(with(body, []any{"nonsense"}, "x"), []any{"metadata", "nonsense"}, map[string]any{"a": 1})
	doubled := strings.Replace(string(encoded(body)), `"metadata":{`, `"metadata":{"name":"twice",`, 1)
	for _, level := range []string{"Strict", "Warn", "Ignore", "Other"} {
		query := "?dryRun=All&fieldValidation=" + level
		step := Step{Do: "POST " + k.Path + query, Body: encoded(unknown), name: scenario + ": unknown fields, " + level}
		steps = append(steps, step, Step{Do: "POST " + k.Path + query, Raw: doubled, Type: "application/json",
			name: scenario + ": doubled field, " + level})
	}
	for what, raw := range map[string]string{
		"no body": "", "empty object": "{}", "list": "[]", "text": `"x"`, "number": "1", "null": "null",
		"cut off": `{"apiVersion":`, "more behind it": "{} {}", "yaml": "a: b", "tab": "\t{}",
	} {
		steps = append(steps, Step{Do: "POST " + k.Path + "?dryRun=All", Raw: raw, Type: "application/json",
			name: scenario + ": body is " + what})
	}
	steps = append(steps,
		k.step(scenario, "another kind", "POST", k.Path, with(body, []any{"kind"}, "Nonsense")),
		k.step(scenario, "another version", "POST", k.Path, with(body, []any{"apiVersion"}, "example.com/v1")),
		k.step(scenario, "a kind of the same version", "POST", k.Path,
			with(with(body, []any{"apiVersion"}, "v1"), []any{"kind"}, "Endpoints")),
		k.step(scenario, "a kind of another group", "POST", k.Path,
			with(with(body, []any{"apiVersion"}, "apps/v1"), []any{"kind"}, "Deployment")),
		k.step(scenario, "no kind", "POST", k.Path, with(body, []any{"kind"}, remove{})),
		k.step(scenario, "no version", "POST", k.Path, with(body, []any{"apiVersion"}, remove{})),
		k.step(scenario, "malformed version", "POST", k.Path, with(body, []any{"apiVersion"}, "a/b/c")),
	)
	return steps
}

func (k *kindFile) step(scenario, what, method, path string, body any) Step {
	return Step{
		Do: method + " " + path + "?dryRun=All", Body: encoded(body), name: scenario + ": " + what,
	}
}

func nameOf(body map[string]any) string {
	metadata, _ := body["metadata"].(map[string]any)
	name, _ := metadata["name"].(string)
	return name
}

func encoded(value any) json.RawMessage {
	text, err := json.Marshal(value)
	if err != nil {
		// Bodies come from YAML and hold nothing else.
		panic(err)
	}
	return text
}
