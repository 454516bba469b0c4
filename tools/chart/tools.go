//go:build tools

// Package tools pins the programs that check the Helm chart: tools/charttools builds them into a cache outside the repository.
package tools

import (
	_ "github.com/helm-unittest/helm-unittest/cmd/helm-unittest"
	_ "github.com/norwoodj/helm-docs/cmd/helm-docs"
	_ "github.com/yannh/kubeconform/cmd/kubeconform"
	_ "github.com/yuin/gopher-lua/cmd/glua"
	_ "helm.sh/helm/v3/cmd/helm"
	_ "helm.sh/helm/v4/cmd/helm"
)
