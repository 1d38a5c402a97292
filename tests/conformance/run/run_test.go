package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"proa.test/conformance/event"
)

func named(names ...string) []spec {
	var specs []spec
	for _, name := range names {
		specs = append(specs, spec{Name: name})
	}
	return specs
}

func TestTheModulesListIsComplete(t *testing.T) {
	all, err := list()
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 462 {
		t.Errorf("%d tests; if go.mod names another release, mend this number and the images' tags", len(all))
	}
	for _, s := range all {
		if !slices.Contains(order, strings.TrimPrefix(s.sig(), "sig-")) {
			t.Errorf("no place in the order for %s", s.Name)
		}
		if focus := regexp.MustCompile(focusFor(s, all)); count(all, func(other spec) bool { return focus.MatchString(other.Name) }) != 1 {
			t.Errorf("%s does not select %s alone", focus, s.Name)
		}
	}
}

func TestABinaryWithOtherTestsIsRefused(t *testing.T) {
	all := named("a", "b")
	if err := compare(all, []string{"b", "a"}); err != nil {
		t.Error(err)
	}
	for _, built := range [][]string{{"a"}, {"a", "b", "c"}, {"a", "c"}} {
		if compare(all, built) == nil {
			t.Errorf("%v was taken", built)
		}
	}
}

func TestShardsAreDisjointAndComplete(t *testing.T) {
	all := named("a", "b", "c", "d", "e")
	seen := map[string]int{}
	for _, shard := range []string{"1/3", "2/3", "3/3"} {
		chosen, err := selectionFrom("", "", shard, "")
		if err != nil {
			t.Fatal(err)
		}
		specs, err := chosen.from(all)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range specs {
			seen[s.Name]++
		}
	}
	for _, s := range all {
		if seen[s.Name] != 1 {
			t.Errorf("%s is in %d shards", s.Name, seen[s.Name])
		}
	}
	for _, bad := range []string{"0/2", "3/2", "x", "1"} {
		if _, err := selectionFrom("", "", bad, ""); err == nil {
			t.Errorf("SHARD=%s was taken", bad)
		}
	}
}

func TestNamesThatNoTestHasAreRefused(t *testing.T) {
	if _, err := (selection{k: 1, n: 1, only: []string{"z"}}).from(named("a")); err == nil {
		t.Error("taken")
	}
}

func TestCauses(t *testing.T) {
	for _, one := range []struct {
		event event.Event
		want  string
	}{
		{event.Event{State: "failed", Message: "failed to list all PodTemplates: not found\nIn [It] at: x.go:1"}, "failed to list all PodTemplates: not found"},
		{event.Event{State: "failed", Message: "Unexpected error:\n    <*errors.StatusError | 0xc0>: \n    the server is busy\n    {\n        Code: 1,\n    }\noccurred"},
			"the server is busy"},
		{event.Event{State: "interrupted", Message: "Interrupted by User", Step: "Creating a pod"}, "no end within the time given to one test; last step: Creating a pod"},
		{event.Event{State: "failed", Message: "error running kubectl create -f -:\nCommand stdout:\n\nstderr:\nWarning: careful\nerror: no such kind\n"},
			"kubectl: error: no such kind"},
		{event.Event{State: "panicked"}, "panicked"},
	} {
		if got := cause(one.event); got != one.want {
			t.Errorf("%q: got %q, want %q", one.event.Message, got, one.want)
		}
	}
}

func TestLastWords(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	for _, one := range []struct{ text, want string }{
		{"a\nwrong\nFAIL\n", "wrong"},
		{"E1 \"Observed a panic\" panic=<\n\t\x1b[1mYour Test Panicked\x1b[0m\n\t\x1b[38;5;243mk8s.io/x/chunking.go:68\x1b[0m\ngoroutine 1\n", "panic at k8s.io/x/chunking.go:68"},
		{"", "it said nothing"},
	} {
		if err := os.WriteFile(log, []byte(one.text), 0o644); err != nil {
			t.Fatal(err)
		}
		if got := lastWords(log); got != one.want {
			t.Errorf("%q: got %q, want %q", one.text, got, one.want)
		}
	}
}

func TestResultsOutliveACut(t *testing.T) {
	file := filepath.Join(t.TempDir(), "results.jsonl")
	first, err := load(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range []result{{Name: "a", State: "failed", Cause: "x"}, {Name: "a", State: "passed"}, {Wall: 60}, {Name: "b", State: "failed"}} {
		if err := first.add(one); err != nil {
			t.Fatal(err)
		}
	}
	again, err := load(file)
	if err != nil {
		t.Fatal(err)
	}
	all := named("a", "b", "c")
	if open := again.without(all); len(open) != 1 || open[0].Name != "c" {
		t.Errorf("open: %v", open)
	}
	if got := passedNames(all, again); !slices.Equal(got, []string{"a"}) {
		t.Errorf("passed: %v", got)
	}
	if got := lost([]string{"a", "b", "c"}, again); !slices.Equal(got, []string{"b"}) {
		t.Errorf("lost: %v", got)
	}
	if again.wall.Minutes() != 1 {
		t.Errorf("wall: %v", again.wall)
	}
}

func TestCausesAreGrouped(t *testing.T) {
	failed := named("a", "b", "c", "d", "e")
	r := &results{byName: map[string]result{
		"a": {Cause: "x: the server could not find the requested resource (post jobs.batch)"},
		"b": {Cause: "y: the server could not find the requested resource (get jobs.batch j1)"},
		"c": {Cause: "pod web-1 failed"},
		"d": {Cause: "pod web-2 failed"},
		"e": {Cause: "alone"},
	}}
	want := []group{{"not served: jobs.batch", 2}, {"pod web-1 failed", 2}}
	if got := groups(failed, r); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestTheReportBeginsWithItsTable(t *testing.T) {
	all := named("[sig-apps] Jobs run [Conformance]", "[sig-apps] Jobs end [Conformance]", "[sig-node] Pods run [Conformance]")
	r := &results{byName: map[string]result{
		all[0].Name: {State: "passed", Seconds: 60},
		all[1].Name: {State: "failed", Cause: "no `Job`"},
	}}
	text := report("v1.2.3", all, r, []string{all[1].Name})
	for _, want := range []string{
		"# Conformance\n| SIG |", "\n| sig-apps | 1 / 2 | 1 |\n| sig-node | 0 / 1 | 0 |\n| all | 1 / 3 | 1 |\n",
		"`` no `Job` ``", "FOCUS='Jobs end'", "## Not run\n- \\[sig-node\\] Pods run",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
}
