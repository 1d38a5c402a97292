package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"time"
)

// Step is one request of the corpus. Texts may hold `$ns`, the scenario's namespace, and `{{NAME.path}}`, a value out of
// the same server's answer that an earlier step saved as NAME.
type Step struct {
	// Do is method and path: `POST /api/v1/namespaces/$ns/pods?dryRun=All`.
	Do string `json:"do"`
	// Body is sent as JSON; Raw as it stands.
	Body json.RawMessage `json:"body,omitempty"`
	Raw  string          `json:"raw,omitempty"`
	// Type is the Content-Type; absent: application/json where there is a body.
	Type string `json:"type,omitempty"`
	// Accept is one of the short names of accepts, or a media type.
	Accept string `json:"accept,omitempty"`
	// As is a user to impersonate, with Groups.
	As     string   `json:"as,omitempty"`
	Groups []string `json:"groups,omitempty"`
	// Until repeats the request until the answer has this code.
	Until int `json:"until,omitempty"`
	// Save keeps the answer under this name.
	Save string `json:"save,omitempty"`
	// Summary is how the answer is compared: as a whole where it is absent, see summaries.
	Summary string `json:"summary,omitempty"`
	// name tells the step from all others.
	name string
}

// accepts are short names for media types.
var accepts = map[string]string{
	"table":   "application/json;as=Table;v=v1;g=meta.k8s.io,application/json",
	"partial": "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io,application/json",
	"partials": "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io," +
		"application/json",
	"discovery": "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json",
}

// Scenario is a sequence of steps in a namespace of its own.
type Scenario struct {
	Name  string `json:"name"`
	Steps []Step `json:"steps"`
	// Record takes all steps into the recorded part.
	Record bool `json:"record,omitempty"`
	// Alone scenarios run before all others: they see what those make.
	Alone bool `json:"alone,omitempty"`
}

// answer is what a server said.
type answer struct {
	code     int
	kind     string
	warnings []string
	text     []byte
	// Decoded JSON or protobuf; nil where the answer is none.
	body any
}

// session is one scenario on one server.
type session struct {
	server    *server
	namespace string
	saved     map[string]any
}

var placeholder = regexp.MustCompile(`\{\{([a-z0-9]+)\.([^}]+)\}\}`)

// fill puts the namespace and saved values in.
func (s *session) fill(text string) string {
	text = strings.ReplaceAll(text, "$ns", s.namespace)
	return placeholder.ReplaceAllStringFunc(text, func(found string) string {
		parts := placeholder.FindStringSubmatch(found)
		value := s.saved[parts[1]]
		for _, name := range strings.Split(parts[2], ".") {
			object, _ := value.(map[string]any)
			value = object[name]
		}
		if value == nil {
			return "absent"
		}
		return fmt.Sprint(value)
	})
}

// send makes the step's request, again and again where it waits for a code.
func (s *session) send(ctx context.Context, step *Step) (*answer, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		found, err := s.sendOnce(ctx, step)
		if err != nil || step.Until == 0 || found.code == step.Until {
			return found, err
		}
		select {
		case <-ctx.Done():
			return found, fmt.Errorf("%s: %s: %w", step.name, s.server.name, ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (s *session) sendOnce(ctx context.Context, step *Step) (*answer, error) {
	method, path, _ := strings.Cut(s.fill(step.Do), " ")
	body := s.fill(step.Raw)
	if len(step.Body) > 0 {
		body = s.fill(string(step.Body))
	}
	request, err := http.NewRequestWithContext(ctx, method, s.server.base+path, strings.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", step.name, err)
	}
	for name, value := range step.headers(body != "") {
		request.Header[name] = value
	}
	if step.As != "" {
		request.Header.Set("Impersonate-User", s.fill(step.As))
	}
	response, text, err := s.exchange(request)
	if isTimeout(err) {
		return &answer{text: []byte("no end within " + requestTimeout.String())}, nil
	}
	if errors.Is(err, io.EOF) {
		return &answer{text: []byte("connection closed without an answer")}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %s: %w", step.name, s.server.name, err)
	}
	found := &answer{
		code: response.StatusCode, kind: response.Header.Get("Content-Type"),
		warnings: response.Header.Values("Warning"), text: text,
		body: decodeAs(response.Header.Get("Content-Type"), text),
	}
	if step.Save != "" {
		s.saved[step.Save] = found.body
	}
	return found, nil
}

// exchange sends the request and reads the whole answer.
func (s *session) exchange(request *http.Request) (*http.Response, []byte, error) {
	response, err := s.server.admin.Do(request)
	if err != nil {
		return nil, nil, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return response, text, err
}

func isTimeout(err error) bool {
	var timeout interface{ Timeout() bool }
	return errors.As(err, &timeout) && timeout.Timeout()
}

// headers are those that the step sets.
func (s *Step) headers(hasBody bool) http.Header {
	headers := http.Header{}
	if s.Type != "" {
		headers.Set("Content-Type", s.Type)
	} else if hasBody {
		headers.Set("Content-Type", "application/json")
	}
	accept := s.Accept
	if long, ok := accepts[accept]; ok {
		accept = long
	}
	if accept == "" {
		accept = "application/json"
	}
	headers.Set("Accept", accept)
	headers.Set("User-Agent", "corpus")
	if s.As != "" {
		headers.Set("Impersonate-User", s.As)
		for _, group := range s.Groups {
			headers.Add("Impersonate-Group", group)
		}
	}
	return headers
}

// decode reads JSON with numbers as they are written, and the lines of a watch as a list.
func decode(text []byte) any {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var all []any
	for {
		var one any
		err := decoder.Decode(&one)
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil
		}
		all = append(all, one)
	}
	if len(all) == 1 {
		return all[0]
	}
	if len(all) == 0 {
		return nil
	}
	return all
}
