package main

import (
	_ "embed"
	"fmt"
	"regexp"

	"sigs.k8s.io/yaml"
)

//go:embed known.yaml
var knownFile []byte

// known is a difference that is expected. All patterns that are given must match: they are
// regular expressions on the whole text, Request on the step's name.
type known struct {
	Request  string `json:"request,omitempty"`
	Field    string `json:"field,omitempty"`
	Upstream string `json:"upstream,omitempty"`
	Proa     string `json:"proa,omitempty"`
	// Except is what may differ: without what it finds, the two texts must be equal.
	Except string `json:"except,omitempty"`
	// Most is how many differences the entry covers: a wide entry must not hide new ones. 0: any number.
	Most int `json:"most,omitempty"`
	// Reason is for users: why Proa differs, or `not yet: ` and what is missing.
	Reason string `json:"reason"`

	request, field, upstream, proa, except *regexp.Regexp
	seen                                   int
}

func loadKnown() ([]*known, error) {
	var all []*known
	if err := yaml.UnmarshalStrict(knownFile, &all); err != nil {
		return nil, fmt.Errorf("known.yaml: %w", err)
	}
	for _, one := range all {
		if one.Reason == "" {
			return nil, fmt.Errorf("known.yaml: %+v has no reason", *one)
		}
		for _, pattern := range []struct {
			text string
			into **regexp.Regexp
		}{{one.Request, &one.request}, {one.Field, &one.field}, {one.Upstream, &one.upstream}, {one.Proa, &one.proa}} {
			if pattern.text == "" {
				continue
			}
			compiled, err := regexp.Compile("(?s)^(?:" + pattern.text + ")$")
			if err != nil {
				return nil, fmt.Errorf("known.yaml: %w", err)
			}
			*pattern.into = compiled
		}
		if one.Except != "" {
			compiled, err := regexp.Compile("(?s)" + one.Except)
			if err != nil {
				return nil, fmt.Errorf("known.yaml: %w", err)
			}
			one.except = compiled
		}
	}
	return all, nil
}

func (k *known) matches(request string, d difference) bool {
	fits := func(pattern *regexp.Regexp, text string) bool { return pattern == nil || pattern.MatchString(text) }
	if k.except != nil && k.except.ReplaceAllString(d.Upstream, "") != k.except.ReplaceAllString(d.Proa, "") {
		return false
	}
	return fits(k.request, request) && fits(k.field, d.Field) &&
		fits(k.upstream, d.Upstream) && fits(k.proa, d.Proa)
}

// listed finds the first entry for the difference.
func listed(all []*known, request string, d difference) *known {
	for _, one := range all {
		if one.matches(request, d) {
			return one
		}
	}
	return nil
}
