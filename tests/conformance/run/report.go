package main

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
)

// report writes docs/conformance.md from the results.
func report(release string, all []spec, r *results, lost []string) string {
	var text strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&text, format+"\n", args...) }

	line("# Conformance")
	line("| SIG | passed / all | minutes |")
	line("|---|---|---|")
	sigs := map[string][]spec{}
	for _, s := range all {
		sigs[s.sig()] = append(sigs[s.sig()], s)
	}
	for _, sig := range slices.Sorted(maps.Keys(sigs)) {
		line("%s", row(sig, sigs[sig], r))
	}
	line("%s", row("all", all, r))
	line("")
	line("These are the [conformance tests](https://github.com/cncf/k8s-conformance) of Kubernetes %s, run by", release)
	line("`make conformance` on a cluster with real containers, which the command starts itself. The minutes are those that the")
	line("tests took one by one; the last run of all, side by side, took **%s**. Each test counts as it ended when it last ran,", r.wall.Round(time.Second))
	line("in that run or alone after a change. `conformance-passed.txt` lists the tests that passed.")
	line("")

	var failed, open []spec
	for _, s := range all {
		if one, ok := r.byName[s.Name]; !ok {
			open = append(open, s)
		} else if !one.passed() {
			failed = append(failed, s)
		}
	}
	if len(lost) > 0 {
		line("## Passed in the last committed run and fail now")
		for _, name := range lost {
			line("- %s", name)
		}
		line("")
	}
	if len(failed) > 0 {
		if several := groups(failed, r); len(several) > 0 {
			line("## Causes of several failures")
			for _, group := range several {
				line("- %d: %s", group.count, code(group.cause))
			}
			line("")
		}
		line("## Failing tests")
		line("Each with its cause and the command that runs it alone.")
		last := ""
		for _, s := range failed {
			if s.sig() != last {
				last = s.sig()
				line("\n### %s", last)
			}
			line("- %s  ", plain(strings.TrimPrefix(s.Name, "["+last+"] ")))
			line("  %s  ", code(r.byName[s.Name].Cause))
			line("  `make conformance FOCUS='%s'`", focusFor(s, all))
		}
		line("")
	}
	if len(open) > 0 {
		line("## Not run")
		for _, s := range open {
			line("- %s", plain(s.Name))
		}
	}
	return strings.TrimRight(text.String(), "\n") + "\n"
}

func row(title string, specs []spec, r *results) string {
	var took float64
	for _, s := range specs {
		took += r.byName[s.Name].Seconds
	}
	passed := count(specs, func(s spec) bool { return r.byName[s.Name].passed() })
	return fmt.Sprintf("| %s | %d / %d | %.0f |", title, passed, len(specs), took/60)
}

// passedNames is the list that is committed beside the report: one name a line, sorted.
func passedNames(all []spec, r *results) []string {
	var names []string
	for _, s := range all {
		if r.byName[s.Name].passed() {
			names = append(names, s.Name)
		}
	}
	slices.Sort(names)
	return names
}

// lost gives the tests that passed once and have failed now.
func lost(before []string, r *results) []string {
	var names []string
	for _, name := range before {
		if one, ok := r.byName[name]; ok && !one.passed() {
			names = append(names, name)
		}
	}
	return names
}

type group struct {
	cause string
	count int
}

// What differs between failures of one cause: generated names, addresses, times.
var particular = regexp.MustCompile(`"[^"]*"|\b[a-z0-9-]*[0-9][a-z0-9.:-]*\b`)

// What client-go says when a resource is not served; the name of an object may follow.
var notServed = regexp.MustCompile(`could not find the requested resource \(\S+ ([a-z.0-9]+)`)

// groups counts equal causes, the most frequent first; those that stand alone are left out.
func groups(failed []spec, r *results) []group {
	byKey := map[string]*group{}
	for _, s := range failed {
		cause := r.byName[s.Name].Cause
		if found := notServed.FindStringSubmatch(cause); found != nil {
			cause = "not served: " + found[1]
		}
		key := particular.ReplaceAllString(cause, "…")
		if key = string([]rune(key)[:min(80, len([]rune(key)))]); byKey[key] == nil {
			byKey[key] = &group{cause: cause}
		}
		byKey[key].count++
	}
	var list []group
	for _, one := range byKey {
		if one.count > 1 {
			list = append(list, *one)
		}
	}
	slices.SortFunc(list, func(a, b group) int {
		if by := b.count - a.count; by != 0 {
			return by
		}
		return strings.Compare(a.cause, b.cause)
	})
	return list
}

// code shows text as it is, whatever it contains.
func code(text string) string {
	if strings.Contains(text, "`") {
		return "`` " + text + " ``"
	}
	return "`" + text + "`"
}

// plain keeps labels in brackets from being read as links.
func plain(text string) string {
	return strings.NewReplacer("[", `\[`, "]", `\]`, "<", `\<`, "*", `\*`, "_", `\_`).Replace(text)
}
