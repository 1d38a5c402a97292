// Command kubectl is upstream's kubectl, linked from its Go module for machines that cannot reach the release
// downloads. It adds nothing of its own.
package main

import (
	"os"

	"k8s.io/component-base/cli"
	"k8s.io/kubectl/pkg/cmd"
	"k8s.io/kubectl/pkg/cmd/util"
)

func main() {
	root := cmd.NewDefaultKubectlCommand()
	if err := cli.RunNoErrOutput(root); err != nil {
		util.CheckErr(err)
		os.Exit(1)
	}
}
