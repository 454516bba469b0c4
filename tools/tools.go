//go:build tools

// Package tools pins the programs of the test control plane: tools/controlplane.py builds kube-apiserver and
// etcd from this module when it can neither find nor download them.
package tools

import (
	_ "go.etcd.io/etcd/server/v3"
	_ "k8s.io/kubernetes/cmd/kube-apiserver"
)
