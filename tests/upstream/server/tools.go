//go:build tools

// Package server holds nothing: it names the program that this module also builds, so that go.mod lists what it needs.
package server

import _ "k8s.io/kubernetes/cmd/kube-apiserver"
