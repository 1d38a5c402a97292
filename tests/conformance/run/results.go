package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"strings"
	"sync"
	"time"

	"proa.test/conformance/event"
)

// result is how one spec ended, or how long one invocation of the runner took.
type result struct {
	Name    string  `json:"name,omitempty"`
	State   string  `json:"state,omitempty"`
	Seconds float64 `json:"seconds,omitempty"`
	Cause   string  `json:"cause,omitempty"`
	// Log is the file with all that the test printed.
	Log   string    `json:"log,omitempty"`
	Ended time.Time `json:"ended"`
	// Wall is the time of an invocation, in seconds; nothing else is set then.
	Wall float64 `json:"wall,omitempty"`
}

func (r result) passed() bool { return r.State == event.Passed }

// results are those of one run of the suite, which may take several invocations. Each is in the file as soon as it is
// known; of several for one spec the last one counts.
type results struct {
	mutex  sync.Mutex
	file   string
	byName map[string]result
	wall   time.Duration
}

func load(file string) (*results, error) {
	all := &results{file: file, byName: map[string]result{}}
	opened, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return all, nil
	}
	if err != nil {
		return nil, err
	}
	defer opened.Close()
	lines := bufio.NewScanner(opened)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var one result
		// The last line may be torn.
		if json.Unmarshal(lines.Bytes(), &one) == nil {
			all.take(one)
		}
	}
	return all, lines.Err()
}

func (r *results) take(one result) {
	if one.Name == "" {
		r.wall += time.Duration(one.Wall * float64(time.Second))
	} else {
		r.byName[one.Name] = one
	}
}

func (r *results) add(one result) error {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	one.Ended = time.Now().UTC().Truncate(time.Second)
	r.take(one)
	line, err := json.Marshal(one)
	if err != nil {
		return err
	}
	file, err := os.OpenFile(r.file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = file.Write(append(line, '\n'))
	if closed := file.Close(); err == nil {
		err = closed
	}
	return err
}

// without gives the specs that have no result.
func (r *results) without(specs []spec) []spec {
	var open []spec
	for _, s := range specs {
		if _, ok := r.byName[s.Name]; !ok {
			open = append(open, s)
		}
	}
	return open
}

// cause is the first line of a failure that says something about this failure, without the middle if it is long. Gomega puts
// the error itself behind a dump of its Go value.
func cause(e event.Event) string {
	if e.State == "interrupted" || e.State == "timedout" {
		text := "no end within the time given to one test"
		if e.Step != "" {
			text += "; last step: " + e.Step
		}
		return shorten(text)
	}
	// A command's own words count more than its arguments, and its errors more than its warnings.
	if _, stderr, ok := strings.Cut(e.Message, "stderr:\n"); ok {
		for line := range strings.Lines(stderr) {
			if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "Warning:") {
				return shorten("kubectl: " + line)
			}
		}
	}
	var said []string
	depth := 0
	for line := range strings.Lines(e.Message) {
		line = strings.TrimSpace(line)
		opens, closes := strings.HasSuffix(line, "{"), line == "}" || line == "}," || line == "}:"
		switch {
		case opens:
			depth++
		case closes && depth > 0:
			depth--
		case depth > 0 || line == "" || noise(line):
		default:
			said = append(said, line)
		}
		if len(said) == 3 {
			break
		}
	}
	text := strings.Join(said, " ")
	if text == "" {
		text = e.State
	}
	return shorten(text)
}

func noise(line string) bool {
	for _, prefix := range []string{"Unexpected error", "In [", "<*errors.", "<*fmt.", "occurred", "Told to stop trying"} {
		if strings.HasPrefix(line, prefix) {
			return true
		}
	}
	return false
}

func shorten(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if runes := []rune(text); len(runes) > 200 {
		return string(runes[:140]) + " ... " + string(runes[len(runes)-60:])
	}
	return text
}
