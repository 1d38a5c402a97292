//go:build tools

// Package kine holds nothing: it names the program that this module builds, so that go.mod lists what it needs.
package kine

import _ "github.com/k3s-io/kine"
