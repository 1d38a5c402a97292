package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
)

// recorded is a scenario with what upstream answered. Words in angle brackets in an answer stand for any text.
type recorded struct {
	Name  string         `json:"name"`
	Steps []recordedStep `json:"steps"`
}

// recordedStep is a step; without a code it is only sent, for what it does to later ones.
type recordedStep struct {
	Step
	Code     int      `json:"code,omitempty"`
	Warnings []string `json:"warnings,omitempty"`
	Answer   any      `json:"answer,omitempty"`
}

// Limits of the recorded part of the generated corpus.
const (
	refusalsPerKind = 2
	longestBody     = 700
	longestAnswer   = 2500
	mostRecorded    = 320_000
)

// record writes the recorded part: the scenarios that ask for it, and for every kind its first body and refusals that
// differ from one another. Only requests on which both servers agree are compared later.
func record(file string, results []result) error {
	var all []recorded
	sampled := map[string]bool{}
	for _, group := range byScenario(results) {
		scenario := group[0].scenario
		if scenario.Record {
			all = append(all, whole(scenario.Name, group))
			continue
		}
		kind, what, _ := strings.Cut(scenario.Name, "/")
		if !strings.HasPrefix(what, "create ") || sampled[kind] {
			continue
		}
		if some := sample(scenario.Name, group); len(some.Steps) > 0 {
			sampled[kind] = true
			all = append(all, some)
		}
	}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	for _, one := range all {
		if err := encoder.Encode(one); err != nil {
			return err
		}
	}
	if text.Len() > mostRecorded {
		return fmt.Errorf("the recorded part has %d bytes, more than %d", text.Len(), mostRecorded)
	}
	return os.WriteFile(file, text.Bytes(), 0o644)
}

func byScenario(results []result) [][]result {
	var groups [][]result
	for _, one := range results {
		if last := len(groups) - 1; last >= 0 && groups[last][0].scenario == one.scenario {
			groups[last] = append(groups[last], one)
			continue
		}
		groups = append(groups, []result{one})
	}
	return groups
}

func whole(name string, group []result) recorded {
	made := recorded{Name: name}
	for _, one := range group {
		// A watch ends by time, which tests do not wait for.
		if strings.Contains(one.step.Do, "timeoutSeconds=1") {
			continue
		}
		step := recordedStep{Step: *one.step}
		if len(one.differences) == 0 && one.upstream.body != nil {
			step = withAnswer(one)
		}
		made.Steps = append(made.Steps, step)
	}
	return made
}

func sample(name string, group []result) recorded {
	made := recorded{Name: name}
	var seen []string
	for i, one := range group {
		if len(one.differences) > 0 || one.upstream.body == nil || len(one.step.Body) > longestBody ||
			len(one.upstream.text) > longestAnswer {
			continue
		}
		if i == 0 {
			made.Steps = append(made.Steps, withAnswer(one))
			continue
		}
		body, _ := one.upstream.body.(map[string]any)
		look := alike(fmt.Sprint(body["message"]))
		if one.upstream.code < 400 || slices.Contains(seen, look) || len(seen) == refusalsPerKind {
			continue
		}
		seen = append(seen, look)
		made.Steps = append(made.Steps, withAnswer(one))
	}
	return made
}

func withAnswer(one result) recordedStep {
	return recordedStep{
		Step: *one.step, Code: one.upstream.code, Warnings: cleanAll(one.upstream.warnings, one.namespace),
		Answer: withoutManagers(one),
	}
}

// withoutManagers leaves managed fields out where they are not what is tested: they make up half of an answer.
func withoutManagers(one result) any {
	cleaned := clean(one.upstream.body, one.namespace)
	if strings.HasPrefix(one.scenario.Name, "apply/") {
		return cleaned
	}
	list, _ := asObject(cleaned)["items"].([]any)
	for _, object := range append(slices.Clone(list), cleaned) {
		delete(child(asObject(object), "metadata"), "managedFields")
	}
	return cleaned
}

func asObject(value any) map[string]any {
	object, _ := value.(map[string]any)
	return object
}
