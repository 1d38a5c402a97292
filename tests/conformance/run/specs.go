package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v2"

	"k8s.io/kubernetes/test/conformance/testdata"
)

// spec is one conformance test, as the module's own list has it.
type spec struct {
	Name string `yaml:"codename"`
	File string `yaml:"file"`
}

// order is that in which SIGs are run: those first whose tests need least of what others need too.
var order = []string{"node", "network", "apps", "auth", "cli", "instrumentation", "architecture", "scheduling", "storage", "api-machinery"}

// sig is the part of the name that says whose test it is, such as sig-apps.
func (s spec) sig() string {
	name, _, _ := strings.Cut(strings.TrimPrefix(s.Name, "["), "]")
	return name
}

// isSerial tells whether nothing else may run beside it.
func (s spec) isSerial() bool {
	return strings.Contains(s.Name, "[Serial]") || strings.Contains(s.Name, "[Disruptive]")
}

// limit is how long it may take. Upstream's own waits are longer, but they are made for clusters of many machines.
func (s spec) limit() time.Duration {
	if strings.Contains(s.Name, "[Slow]") || strings.Contains(s.Name, "should create pods for an Indexed job") {
		return 15 * time.Minute
	}
	return 6 * time.Minute
}

// list reads all conformance tests of the module, in the order in which they run.
func list() ([]spec, error) {
	files := testdata.GetConformanceTestdataFS()
	text, err := files.EmbeddedFS.ReadFile("conformance.yaml")
	if err != nil {
		return nil, err
	}
	var all []spec
	if err := yaml.Unmarshal(text, &all); err != nil {
		return nil, err
	}
	rank := func(s spec) int { return slices.Index(order, strings.TrimPrefix(s.sig(), "sig-")) }
	slices.SortStableFunc(all, func(a, b spec) int {
		if by := rank(a) - rank(b); by != 0 {
			return by
		}
		return strings.Compare(a.File+a.Name, b.File+b.Name)
	})
	return all, nil
}

// selection says which of the specs to run.
type selection struct {
	focus, skip *regexp.Regexp
	// Every nth spec, beginning with the kth; 1/1 is all.
	k, n int
	// Names in a file, when there is one.
	only []string
}

// selectionFrom reads FOCUS, SKIP (regular expressions), SHARD (k/n) and ONLY (a file of names, # begins a comment).
func selectionFrom(focus, skip, shard, only string) (selection, error) {
	chosen := selection{k: 1, n: 1}
	var err error
	if focus != "" {
		if chosen.focus, err = regexp.Compile(focus); err != nil {
			return chosen, fmt.Errorf("FOCUS: %w", err)
		}
	}
	if skip != "" {
		if chosen.skip, err = regexp.Compile(skip); err != nil {
			return chosen, fmt.Errorf("SKIP: %w", err)
		}
	}
	if shard != "" {
		if _, err := fmt.Sscanf(shard, "%d/%d", &chosen.k, &chosen.n); err != nil || chosen.k < 1 || chosen.k > chosen.n {
			return chosen, fmt.Errorf("SHARD=%s: wanted is k/n with 1 <= k <= n", shard)
		}
	}
	if only != "" {
		text, err := os.ReadFile(only)
		if err != nil {
			return chosen, err
		}
		for line := range strings.Lines(string(text)) {
			if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
				chosen.only = append(chosen.only, line)
			}
		}
	}
	return chosen, nil
}

// isAll tells whether nothing is left out.
func (c selection) isAll() bool {
	return c.focus == nil && c.skip == nil && c.n == 1 && c.only == nil
}

// isNamed tells whether the specs were asked for by name, and so run even if there is a result.
func (c selection) isNamed() bool {
	return c.focus != nil || c.only != nil
}

// from picks the specs. A name of ONLY that no spec has is an error: it would silently test nothing.
func (c selection) from(all []spec) ([]spec, error) {
	for _, name := range c.only {
		if !slices.ContainsFunc(all, func(s spec) bool { return s.Name == name }) {
			return nil, fmt.Errorf("no conformance test is called %q", name)
		}
	}
	var chosen []spec
	for i, s := range all {
		switch {
		case i%c.n != c.k-1:
		case c.focus != nil && !c.focus.MatchString(s.Name):
		case c.skip != nil && c.skip.MatchString(s.Name):
		case c.only != nil && !slices.Contains(c.only, s.Name):
		default:
			chosen = append(chosen, s)
		}
	}
	return chosen, nil
}

// compare fails unless the binary has exactly the specs of the list.
func compare(all []spec, built []string) error {
	var problems []string
	for _, s := range all {
		if !slices.Contains(built, s.Name) {
			problems = append(problems, "missing in the binary: "+s.Name)
		}
	}
	for _, name := range built {
		if !slices.ContainsFunc(all, func(s spec) bool { return s.Name == name }) {
			problems = append(problems, "not in the module's list: "+name)
		}
	}
	if len(problems) > 0 {
		return fmt.Errorf("the binary has %d conformance tests, the module's list %d:\n%s", len(built), len(all), strings.Join(problems, "\n"))
	}
	return nil
}

var special = regexp.MustCompile(`[^A-Za-z0-9 ,:/=_-]`)
var labels = regexp.MustCompile(`^\[sig-[a-z-]+\] |( \[[^]]*\])+$`)

// focusFor is a short FOCUS that selects this spec alone.
func focusFor(s spec, all []spec) string {
	for _, text := range []string{labels.ReplaceAllString(s.Name, ""), s.Name} {
		focus := special.ReplaceAllString(text, ".")
		matching := regexp.MustCompile(focus)
		if count(all, func(other spec) bool { return matching.MatchString(other.Name) }) == 1 {
			return focus
		}
	}
	return "^" + special.ReplaceAllString(s.Name, ".") + "$"
}

func count(specs []spec, is func(spec) bool) int {
	n := 0
	for _, s := range specs {
		if is(s) {
			n++
		}
	}
	return n
}

// paths are the places of a checkout that the runner uses.
type paths struct {
	root string
}

func (p paths) module() string  { return filepath.Join(p.root, "tests/conformance") }
func (p paths) suite() string   { return filepath.Join(p.root, "target/tools/e2e.test") }
func (p paths) kubectl() string { return filepath.Join(p.root, "target/tools/kubectl") }
func (p paths) out() string     { return filepath.Join(p.root, "target/conformance") }
func (p paths) images() string  { return filepath.Join(p.out(), "images") }
func (p paths) logs() string    { return filepath.Join(p.out(), "logs") }
func (p paths) results() string { return filepath.Join(p.out(), "results.jsonl") }
func (p paths) passed() string  { return "docs/conformance-passed.txt" }
