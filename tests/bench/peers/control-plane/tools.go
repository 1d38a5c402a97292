//go:build tools

// Package controlplane holds nothing: it names the programs that this module builds, so that go.mod lists what they need.
package controlplane

import (
	_ "k8s.io/kubernetes/cmd/kube-controller-manager"
	_ "k8s.io/kubernetes/cmd/kube-scheduler"
)
