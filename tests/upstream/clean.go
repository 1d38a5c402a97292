package main

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// What differs between any two servers, and between two runs of one: it is replaced by a word in brackets that says
// what stood there, so that presence and form are still compared.
var (
	uuid      = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)
	timestamp = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`)
	tokenName = regexp.MustCompile(`kube-api-access-[a-z0-9]{5}`)
	serviceIP = regexp.MustCompile(`\b10\.(9[6-9]|10\d|11[01])\.\d+\.\d+\b`)
	// Random ends of names that the corpus lets the servers make.
	generated = regexp.MustCompile(`((?:made|Made)-|g{55,})[bcdfghjklmnpqrstvwxz2456789]{5}\b`)
	age       = regexp.MustCompile(`^\d+[smhd]?(\d+s)?$`)
	jwt       = regexp.MustCompile(`eyJ[\w-]+\.[\w-]+\.[\w-]*`)
	scheme    = regexp.MustCompile(`in scheme "[^"]+"`)
	certHash  = regexp.MustCompile(`X509SHA256=[0-9a-f]{64}`)
	nodePort  = regexp.MustCompile(`\b3[0-2]\d{3}\b`)
	revision  = regexp.MustCompile(`(resourceVersion\\*"?:\s*\\*")\d+`)
	version   = regexp.MustCompile(`v1\.37\.\d+\+proa\.[\w.]+|v1\.37\.\d+`)
)

// volatile are fields whose values are never equal, by name.
var volatile = map[string]string{
	"uid": "<uid>", "resourceVersion": "<version>", "continue": "<token>", "creationTimestamp": "<time>",
	"deletionTimestamp": "<time>", "time": "<time>", "token": "<token>", "expirationTimestamp": "<time>",
	"gitCommit": "<commit>", "gitVersion": "<version>", "buildDate": "<time>", "gitTreeState": "<state>",
	"goVersion": "<toolchain>", "compiler": "<toolchain>", "platform": "<platform>",
	"storageVersionHash": "<hash>", "serverRelativeURL": "<url>", "serverAddress": "<address>",
	"client-ca-file": "<certificate>", "requestheader-client-ca-file": "<certificate>", "jwks_uri": "<url>",
}

// given are values that the corpus itself sends in volatile fields; they are compared as they are.
func isGiven(value any) bool {
	text, ok := value.(string)
	return !ok || strings.HasPrefix(text, "corpus-") || text == "" || text == "0"
}

// clean replaces what cannot be equal.
func clean(value any, namespace string) any {
	switch value := value.(type) {
	case map[string]any:
		return cleanObject(value, namespace)
	case []any:
		cleaned := make([]any, len(value))
		for i := range value {
			cleaned[i] = clean(value[i], namespace)
		}
		return cleaned
	case string:
		return cleanText(value, namespace)
	}
	return value
}

func cleanObject(object map[string]any, namespace string) any {
	cleaned := make(map[string]any, len(object))
	for name, value := range object {
		word, isVolatile := volatile[name]
		switch {
		case isVolatile && !isGiven(value):
			cleaned[name] = word
		case name == "nodePort" || name == "healthCheckNodePort":
			cleaned[name] = cleanPort(value)
		case name == "managedFields":
			cleaned[name] = sorted(clean(value, namespace))
		case name == "resourceRules" || name == "nonResourceRules":
			cleaned[name] = unordered(clean(value, namespace))
		case name == "cells":
			cleaned[name] = cleanCells(value, namespace)
		default:
			cleaned[name] = clean(value, namespace)
		}
	}
	return cleaned
}

// sorted brings managed fields into an order of their own: upstream's goes by times of one second.
func sorted(value any) any {
	list, ok := value.([]any)
	if !ok {
		return value
	}
	key := func(entry any) string {
		object, _ := entry.(map[string]any)
		return fmt.Sprint(object["manager"], object["operation"], object["subresource"], object["apiVersion"])
	}
	slices.SortStableFunc(list, func(a, b any) int { return strings.Compare(key(a), key(b)) })
	return list
}

// unordered brings rules into an order of their own: upstream collects them from maps.
func unordered(value any) any {
	list, ok := value.([]any)
	if !ok {
		return value
	}
	slices.SortStableFunc(list, func(a, b any) int { return strings.Compare(shown(a), shown(b)) })
	return list
}

func cleanPort(value any) any {
	if number, ok := value.(json.Number); ok && len(number) == 5 && number >= "30000" && number <= "32999" {
		return "<port>"
	}
	return value
}

// cleanCells replaces ages. Counts look like ages without a unit, so those stay.
func cleanCells(value any, namespace string) any {
	cells, _ := value.([]any)
	cleaned := make([]any, len(cells))
	for i, cell := range cells {
		text, ok := cell.(string)
		if ok && age.MatchString(text) && strings.ContainsAny(text, "smhd") {
			cleaned[i] = "<age>"
			continue
		}
		cleaned[i] = clean(cell, namespace)
	}
	return cleaned
}

func cleanText(text, namespace string) string {
	if namespace != "" {
		text = strings.ReplaceAll(text, namespace, "$ns")
	}
	text = serviceIP.ReplaceAllString(text, "<service address>")
	text = generated.ReplaceAllString(text, "$1<random>")
	text = uuid.ReplaceAllString(text, "<uid>")
	text = jwt.ReplaceAllString(text, "<token>")
	text = timestamp.ReplaceAllString(text, "<time>")
	text = version.ReplaceAllString(text, "<version>")
	// Upstream names the line of its source that made the scheme, which depends on how it was built.
	text = scheme.ReplaceAllString(text, `in scheme "<source>"`)
	text = certHash.ReplaceAllString(text, "X509SHA256=<hash>")
	text = nodePort.ReplaceAllString(text, "<port>")
	text = revision.ReplaceAllString(text, "$1<version>")
	return tokenName.ReplaceAllString(text, "kube-api-access-<random>")
}
