// Package event is what the test binary tells the runner about its specs: one JSON object per line.
package event

// Event says that a spec has started or has ended.
type Event struct {
	// Name is the spec's full text, labels included, as in upstream's conformance.yaml.
	Name string `json:"name"`
	// State is Started, or the state in which it ended, in Ginkgo's words: passed, failed, skipped, interrupted ...
	State   string  `json:"state"`
	Seconds float64 `json:"seconds,omitempty"`
	// Message is why it did not pass.
	Message string `json:"message,omitempty"`
	// Step is the last step that it announced.
	Step string `json:"step,omitempty"`
}

const (
	// Started is the state of a spec that runs.
	Started = "started"
	// Passed is the state of a spec that met all that it asks for.
	Passed = "passed"
)
