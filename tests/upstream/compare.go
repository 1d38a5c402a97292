package main

import (
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"sort"
	"strings"
)

// difference is one place in which two answers differ. What is absent is the empty text.
type difference struct {
	Field    string
	Upstream string
	Proa     string
}

func (d difference) String() string {
	show := func(text string) string {
		if text == "" {
			return "(absent)"
		}
		return text
	}
	return fmt.Sprintf("%s\n      upstream: %s\n      proa:     %s", d.Field, show(d.Upstream), show(d.Proa))
}

// compare finds the differences of two answers to one step. Where the codes differ, only what the servers said is shown:
// the bodies have nothing in common.
func compare(step *Step, namespace string, upstream, proa *answer) []difference {
	up, pr := clean(upstream.body, namespace), clean(proa.body, namespace)
	if upstream.code != proa.code {
		return []difference{{"code", said(upstream, up), said(proa, pr)}}
	}
	var found []difference
	if upstream.kind != proa.kind {
		found = append(found, difference{"content-type", upstream.kind, proa.kind})
	}
	found = append(found, lines("warning", cleanAll(upstream.warnings, namespace), cleanAll(proa.warnings, namespace))...)
	if up == nil && pr == nil {
		found = append(found, texts(cleanText(string(upstream.text), namespace), cleanText(string(proa.text), namespace))...)
		return found
	}
	if summarise := summaries[step.Summary]; summarise != nil {
		up, pr = summarise(up), summarise(pr)
	}
	if isFailure(up) && isFailure(pr) {
		return append(found, failures(up.(map[string]any), pr.(map[string]any))...)
	}
	return append(found, values("", up, pr)...)
}

func cleanAll(texts []string, namespace string) []string {
	cleaned := make([]string, len(texts))
	for i, text := range texts {
		cleaned[i] = cleanText(text, namespace)
	}
	return cleaned
}

func texts(upstream, proa string) []difference {
	if upstream == proa {
		return nil
	}
	return []difference{{"text", short(upstream), short(proa)}}
}

func short(text string) string {
	const most = 600
	if len(text) > most {
		return text[:most] + "..."
	}
	return text
}

// said is the code with the message of a failure.
func said(a *answer, body any) string {
	status, _ := body.(map[string]any)
	message, _ := status["message"].(string)
	if a.code == 0 {
		message = string(a.text)
	} else if !isFailure(body) {
		message = ""
	}
	return strings.TrimSpace(fmt.Sprintf("%d %s", a.code, short(message)))
}

func isFailure(body any) bool {
	status, ok := body.(map[string]any)
	return ok && status["kind"] == "Status" && status["status"] == "Failure"
}

// failures compares two Status objects. The message of an invalid object is made of its causes; it is only worth a
// line of its own where the causes are equal.
func failures(upstream, proa map[string]any) []difference {
	causes := lines("cause", causesOf(upstream), causesOf(proa))
	found := slices.Clone(causes)
	for _, one := range values("", upstream, proa) {
		isCause := strings.HasPrefix(one.Field, "details.causes")
		if !isCause && (one.Field != "message" || len(causes) == 0) {
			found = append(found, one)
		}
	}
	return found
}

func causesOf(status map[string]any) []string {
	details, _ := status["details"].(map[string]any)
	causes, _ := details["causes"].([]any)
	var texts []string
	for _, cause := range causes {
		cause, _ := cause.(map[string]any)
		texts = append(texts, fmt.Sprintf("%v: %v (%v)", cause["field"], cause["message"], cause["reason"]))
	}
	return texts
}

// lines compares two lists of texts: those that only one side has, else the order.
func lines(field string, upstream, proa []string) []difference {
	if slices.Equal(upstream, proa) {
		return nil
	}
	var found []difference
	missing, extra := without(upstream, proa), without(proa, upstream)
	for i := range max(len(missing), len(extra)) {
		one := difference{Field: field}
		if i < len(missing) {
			one.Upstream = missing[i]
		}
		if i < len(extra) {
			one.Proa = extra[i]
		}
		found = append(found, one)
	}
	if len(found) == 0 {
		found = append(found, difference{field + " order", strings.Join(upstream, "; "), strings.Join(proa, "; ")})
	}
	return found
}

// without returns those of a that b has not, each as often as it is missing.
func without(a, b []string) []string {
	left := slices.Clone(b)
	var missing []string
	for _, text := range a {
		if i := slices.Index(left, text); i >= 0 {
			left = slices.Delete(left, i, i+1)
			continue
		}
		missing = append(missing, text)
	}
	return missing
}

// values compares two JSON values, down to the smallest parts that differ.
func values(path string, upstream, proa any) []difference {
	if reflect.DeepEqual(upstream, proa) {
		return nil
	}
	switch up := upstream.(type) {
	case map[string]any:
		if pr, ok := proa.(map[string]any); ok {
			return objects(path, up, pr)
		}
	case []any:
		if pr, ok := proa.([]any); ok {
			return lists(path, up, pr)
		}
	}
	return []difference{{path, shown(upstream), shown(proa)}}
}

func objects(path string, upstream, proa map[string]any) []difference {
	var found []difference
	for _, name := range names(upstream, proa) {
		at := strings.TrimPrefix(path+"."+name, ".")
		up, inUp := upstream[name]
		pr, inPr := proa[name]
		switch {
		case inUp && inPr:
			found = append(found, values(at, up, pr)...)
		case inUp:
			found = append(found, difference{at, shown(up), ""})
		default:
			found = append(found, difference{at, "", shown(pr)})
		}
	}
	return found
}

func names(objects ...map[string]any) []string {
	var all []string
	for _, object := range objects {
		for name := range object {
			all = append(all, name)
		}
	}
	sort.Strings(all)
	return slices.Compact(all)
}

// lists pairs elements by the key that they have, else by position.
func lists(path string, upstream, proa []any) []difference {
	up, upKeys := keyed(upstream)
	pr, prKeys := keyed(proa)
	if up == nil || pr == nil {
		return positions(path, upstream, proa)
	}
	var found []difference
	for _, name := range names(up, pr) {
		at := fmt.Sprintf("%s[%s]", path, name)
		one, inUp := up[name]
		other, inPr := pr[name]
		switch {
		case inUp && inPr:
			found = append(found, values(at, one, other)...)
		case inUp:
			found = append(found, difference{at, shown(one), ""})
		default:
			found = append(found, difference{at, "", shown(other)})
		}
	}
	if len(found) == 0 && !slices.Equal(upKeys, prKeys) {
		found = append(found, difference{path + " order", strings.Join(upKeys, " "), strings.Join(prKeys, " ")})
	}
	return found
}

func positions(path string, upstream, proa []any) []difference {
	var found []difference
	for i := range max(len(upstream), len(proa)) {
		at := fmt.Sprintf("%s[%d]", path, i)
		switch {
		case i >= len(proa):
			found = append(found, difference{at, shown(upstream[i]), ""})
		case i >= len(upstream):
			found = append(found, difference{at, "", shown(proa[i])})
		default:
			found = append(found, values(at, upstream[i], proa[i])...)
		}
	}
	return found
}

// keyed gives the elements by the first key that tells all of them apart; nil where there is none.
func keyed(list []any) (map[string]any, []string) {
	for _, key := range []string{"name", "resource", "version", "groupVersion", "type", "metadata"} {
		byKey := map[string]any{}
		var order []string
		for _, element := range list {
			object, _ := element.(map[string]any)
			name := keyOf(object[key])
			if name == "" {
				break
			}
			byKey[name] = element
			order = append(order, name)
		}
		if len(byKey) == len(list) && len(list) > 0 {
			return byKey, order
		}
	}
	return nil, nil
}

func keyOf(value any) string {
	switch value := value.(type) {
	case string:
		return value
	case map[string]any:
		name, _ := value["name"].(string)
		return name
	}
	return ""
}

func shown(value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		return fmt.Sprint(value)
	}
	return short(string(text))
}

var position = regexp.MustCompile(`\[\d+\]`)
