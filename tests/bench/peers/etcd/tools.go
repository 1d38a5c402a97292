//go:build tools

// Package etcd holds nothing: it names the program that this module builds, so that go.mod lists what it needs.
package etcd

import _ "go.etcd.io/etcd/server/v3"
