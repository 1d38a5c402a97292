package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
)

// totals of one run, in requests.
type totals struct {
	requests, equal, listed, unlisted int
	kinds                             map[string]*kindTotals
}

// kindTotals counts what upstream made of the bodies of a kind.
type kindTotals struct {
	accepted, refused, different int
}

// report prints what differs and the totals; true: something is not listed.
func (s *settings) report(results []result, all []*known, whole bool) (bool, error) {
	t := totals{kinds: map[string]*kindTotals{}}
	causes := map[string]*cause{}
	var full strings.Builder
	for _, one := range results {
		open := unlisted(one, all)
		t.add(one, len(open) > 0)
		if len(open) == 0 {
			continue
		}
		fmt.Fprintf(&full, "%s\n", one.step.name)
		for _, d := range open {
			fmt.Fprintf(&full, "    %s\n", d)
			note(causes, one, d)
		}
	}
	if s.full != "" {
		if err := os.WriteFile(s.full, []byte(full.String()), 0o644); err != nil {
			return false, err
		}
	}
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	if t.unlisted <= shownInFull {
		fmt.Fprint(out, full.String())
	} else {
		showCauses(out, causes)
	}
	overrun := false
	for _, one := range all {
		if one.Most > 0 && one.seen > one.Most {
			overrun = true
			fmt.Fprintf(out, "known.yaml: %s %s may cover %d differences and covers %d\n", one.Request, one.Field,
				one.Most, one.seen)
		}
	}
	if whole {
		for _, one := range all {
			if one.seen == 0 {
				fmt.Fprintf(out, "listed in known.yaml, but did not occur: %s %s (%s)\n", one.Request, one.Field, one.Reason)
			}
		}
	}
	fmt.Fprintf(out, "%d requests: %d equal, %d with listed differences, %d with others\n",
		t.requests, t.equal, t.listed, t.unlisted)
	if s.totalsTo != "" && whole {
		if err := t.write(s.totalsTo); err != nil {
			return false, err
		}
	}
	if s.recordTo != "" {
		if err := record(s.recordTo, results); err != nil {
			return false, err
		}
	}
	return t.unlisted > 0 || overrun, nil
}

// shownInFull is up to how many requests every difference is printed; above it they are put together by cause.
const shownInFull = 60

func unlisted(one result, all []*known) []difference {
	var open []difference
	for _, d := range one.differences {
		if k := listed(all, one.step.name, d); k != nil {
			k.seen++
			continue
		}
		open = append(open, d)
	}
	return open
}

func (t *totals) add(one result, isOpen bool) {
	t.requests++
	kind, _, _ := strings.Cut(one.scenario.Name, "/")
	k := t.kinds[kind]
	if k == nil {
		k = &kindTotals{}
		t.kinds[kind] = k
	}
	if one.upstream.code < 400 {
		k.accepted++
	} else {
		k.refused++
	}
	switch {
	case len(one.differences) == 0:
		t.equal++
	case isOpen:
		t.unlisted++
		k.different++
	default:
		t.listed++
		k.different++
	}
}

// cause is a group of differences that look alike.
type cause struct {
	requests int
	example  string
	first    difference
}

var (
	quoted = regexp.MustCompile(`"(\\.|[^"\\])*"`)
	digits = regexp.MustCompile(`\d+`)
	braced = regexp.MustCompile(`\{.*\}|\[.*\]`)
)

func alike(text string) string {
	if text == "" {
		return "-"
	}
	// A text that is a JSON string as a whole: what is quoted in it tells little, the rest much.
	var inner string
	if json.Unmarshal([]byte(text), &inner) == nil {
		text = inner
	}
	text = quoted.ReplaceAllString(text, "Q")
	text = braced.ReplaceAllString(text, "B")
	text = digits.ReplaceAllString(text, "N")
	return text[:min(len(text), 90)]
}

func note(causes map[string]*cause, one result, d difference) {
	key := strings.Join([]string{position.ReplaceAllString(d.Field, "[]"), alike(d.Upstream), alike(d.Proa)}, "|")
	found := causes[key]
	if found == nil {
		found = &cause{example: one.step.name, first: d}
		causes[key] = found
	}
	found.requests++
}

func showCauses(out *bufio.Writer, causes map[string]*cause) {
	var all []*cause
	for _, one := range causes {
		all = append(all, one)
	}
	slices.SortFunc(all, func(a, b *cause) int {
		return cmp.Or(cmp.Compare(b.requests, a.requests), strings.Compare(a.example, b.example))
	})
	const most = 100
	for _, one := range all[:min(len(all), most)] {
		fmt.Fprintf(out, "%5d x %s\n    %s\n", one.requests, one.example, one.first)
	}
	if len(all) > most {
		fmt.Fprintf(out, "... and %d kinds of differences more; -full FILE writes all\n", len(all)-most)
	}
}

// write puts the totals into a document, between two marks.
func (t *totals) write(file string) error {
	const begin, end = "<!-- totals -->\n", "<!-- end of totals -->"
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	before, rest, ok := strings.Cut(string(text), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		return fmt.Errorf("%s: has no marks for the totals", file)
	}
	var made strings.Builder
	fmt.Fprintf(&made, "%d requests: %d equal, %d with listed differences, %d with others.\n\n", t.requests, t.equal,
		t.listed, t.unlisted)
	made.WriteString("| part of the corpus | accepted by upstream | refused by upstream | different |\n|---|---|---|---|\n")
	var kinds []string
	for kind := range t.kinds {
		kinds = append(kinds, kind)
	}
	slices.Sort(kinds)
	for _, kind := range kinds {
		k := t.kinds[kind]
		fmt.Fprintf(&made, "| %s | %d | %d | %d |\n", kind, k.accepted, k.refused, k.different)
	}
	return os.WriteFile(file, []byte(before+begin+made.String()+end+after), 0o644)
}
