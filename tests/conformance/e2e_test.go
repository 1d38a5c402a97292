// Package conformance is upstream's end-to-end suite as one test binary, built from the published module.
//
// Upstream's own main is a test file and cannot be imported; this one does the same in the same order: flags, embedded
// files, checks, run. Besides that it writes one line of JSON for every spec that ends (-results), so that the runner
// knows what ran even if the process is killed. Packages without conformance tests are left out; the runner compares
// the number of specs with the list of the module, so that a missing package is noticed.
//
// https://github.com/kubernetes/kubernetes/blob/v1.37.2/test/e2e/e2e_test.go
package conformance

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/ginkgo/v2/types"

	"k8s.io/kubernetes/test/conformance/testdata"
	"k8s.io/kubernetes/test/e2e"
	"k8s.io/kubernetes/test/e2e/framework"
	"k8s.io/kubernetes/test/e2e/framework/config"
	"k8s.io/kubernetes/test/e2e/framework/testfiles"
	"k8s.io/kubernetes/test/e2e/invariants/logcheck"
	manifests "k8s.io/kubernetes/test/e2e/testing-manifests"
	"k8s.io/kubernetes/test/fixtures"

	"proa.test/conformance/event"

	// Before the specs: it names the labels that they may carry.
	_ "k8s.io/kubernetes/test/e2e/feature"

	_ "k8s.io/kubernetes/test/e2e/apimachinery"
	_ "k8s.io/kubernetes/test/e2e/apps"
	_ "k8s.io/kubernetes/test/e2e/architecture"
	_ "k8s.io/kubernetes/test/e2e/auth"
	_ "k8s.io/kubernetes/test/e2e/common"
	_ "k8s.io/kubernetes/test/e2e/dra"
	_ "k8s.io/kubernetes/test/e2e/instrumentation"
	_ "k8s.io/kubernetes/test/e2e/kubectl"
	_ "k8s.io/kubernetes/test/e2e/network"
	_ "k8s.io/kubernetes/test/e2e/node"
	_ "k8s.io/kubernetes/test/e2e/scheduling"
	_ "k8s.io/kubernetes/test/e2e/storage"

	_ "k8s.io/kubernetes/test/e2e/framework/debug/init"
	_ "k8s.io/kubernetes/test/e2e/framework/metrics/init"
	_ "k8s.io/kubernetes/test/e2e/framework/node/init"
	_ "k8s.io/kubernetes/test/utils/ktesting/format"
)

var results = flag.String("results", "", "file or pipe that gets a line of JSON when a spec starts and when it ends")

func TestMain(m *testing.M) {
	config.CopyFlags(config.Flags, flag.CommandLine)
	framework.RegisterCommonFlags(flag.CommandLine)
	framework.RegisterClusterFlags(flag.CommandLine)
	logcheck.RegisterFlags(flag.CommandLine)
	flag.Parse()

	// The checks of the flags already read some of these files.
	testfiles.AddFileSource(manifests.GetE2ETestingManifestsFS())
	testfiles.AddFileSource(fixtures.GetTestFixturesFS())
	testfiles.AddFileSource(testdata.GetConformanceTestdataFS())
	framework.AfterReadingAllFlags(&framework.TestContext)
	report()
	os.Exit(m.Run())
}

func TestE2E(t *testing.T) {
	e2e.RunE2ETests(t)
}

// report adds what tells of each spec. The checks of the flags walk through all specs with a copy of the suite and lose
// such nodes, so it must come after them.
func report() {
	// Whether the spec runs: those that the focus leaves out are reported too.
	var runs bool
	ginkgo.ReportBeforeEach(func(spec ginkgo.SpecReport) {
		runs = !spec.State.Is(types.SpecStateSkipped | types.SpecStatePending)
		if runs {
			tell(event.Event{Name: spec.FullText(), State: event.Started})
		}
	})
	ginkgo.ReportAfterEach(func(spec ginkgo.SpecReport) {
		if !runs {
			return
		}
		ended := event.Event{
			Name:    spec.FullText(),
			State:   spec.State.String(),
			Seconds: spec.RunTime.Seconds(),
			Message: strings.TrimSpace(spec.Failure.Message + "\n" + spec.Failure.ForwardedPanic),
		}
		if spec.State == types.SpecStatePassed && gaveUp(spec.CapturedGinkgoWriterOutput) {
			ended.State = types.SpecStateFailed.String()
			ended.Message = "nothing was tested: no CustomResourceDefinition could be created"
		}
		for _, step := range spec.SpecEvents.WithType(types.SpecEventByStart) {
			ended.Step = step.Message
		}
		tell(ended)
	})
}

// gaveUp tells whether a test ended early because it could not create its definition. Upstream's tests of conversion
// return in that case, which would count as passed. The helper that they use tries every two seconds for half a minute.
func gaveUp(output string) bool {
	return strings.Count(output, "Unexpected error while creating CustomResourceDefinition") >= 10
}

// tell writes one line at once, so that nothing is lost when the process is killed.
func tell(what event.Event) {
	if *results == "" {
		return
	}
	line, err := json.Marshal(what)
	if err == nil {
		err = appendLine(*results, line)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", *results, err)
		os.Exit(1)
	}
}

func appendLine(path string, line []byte) error {
	file, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	_, err = file.Write(append(line, '\n'))
	if closed := file.Close(); err == nil {
		err = closed
	}
	return err
}
