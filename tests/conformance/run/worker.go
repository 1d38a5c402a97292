package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"

	"proa.test/conformance/event"
)

const (
	// How many specs one process of the suite runs; each start of the binary costs some seconds.
	atOnce = 8
	// How long a spec that was told to end may take to clean up.
	grace = 40 * time.Second
)

// suite runs specs by processes of the test binary, against one cluster.
type suite struct {
	paths      paths
	kubeconfig string
	results    *results
	serial     sync.Mutex
	processes  int
	done       int
	total      int
}

// dryRun asks the binary for the conformance tests that it has.
func dryRun(binary string) ([]string, error) {
	pipe, tell, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	command := exec.Command(binary, "--ginkgo.dry-run", "--ginkgo.silence-skips", `--ginkgo.focus=\[Conformance\]`, "--results=/dev/fd/3")
	command.ExtraFiles = []*os.File{tell}
	var said strings.Builder
	command.Stdout, command.Stderr = &said, &said
	if err := command.Start(); err != nil {
		return nil, err
	}
	tell.Close()
	var names []string
	for what := range events(pipe) {
		if what.State == event.Started {
			names = append(names, what.Name)
		}
	}
	if err := command.Wait(); err != nil {
		return nil, fmt.Errorf("%v: %w\n%s", command.Args, err, said.String())
	}
	return names, nil
}

// events reads what a process tells until it ends.
func events(pipe *os.File) <-chan event.Event {
	to := make(chan event.Event)
	go func() {
		defer close(to)
		defer pipe.Close()
		lines := bufio.NewScanner(pipe)
		lines.Buffer(nil, 16<<20)
		for lines.Scan() {
			var one event.Event
			if json.Unmarshal(lines.Bytes(), &one) == nil {
				to <- one
			}
		}
	}()
	return to
}

// run runs the specs: first those that may run beside each other, by so many processes, then the serial ones.
func (s *suite) run(ctx context.Context, specs []spec, processes int) error {
	var side, alone []spec
	for _, one := range specs {
		if one.isSerial() {
			alone = append(alone, one)
		} else {
			side = append(side, one)
		}
	}
	s.total = len(specs)
	if err := s.parallel(ctx, side, processes); err != nil {
		return err
	}
	return s.parallel(ctx, alone, 1)
}

func (s *suite) parallel(ctx context.Context, specs []spec, processes int) error {
	size := max(1, min(atOnce, (len(specs)+processes-1)/processes))
	batches := make(chan []spec)
	failed := make(chan error, processes)
	for range processes {
		go func() {
			var err error
			for batch := range batches {
				if err == nil {
					err = s.batch(ctx, batch)
				}
			}
			failed <- err
		}()
	}
	for len(specs) > 0 && ctx.Err() == nil {
		n := min(size, len(specs))
		batches <- specs[:n]
		specs = specs[n:]
	}
	close(batches)
	var first error
	for range processes {
		if err := <-failed; first == nil {
			first = err
		}
	}
	if first == nil {
		first = ctx.Err()
	}
	return first
}

// batch runs some specs, by a new process whenever one has ended before all of them have a result.
func (s *suite) batch(ctx context.Context, open []spec) error {
	for len(open) > 0 && ctx.Err() == nil {
		ended, err := s.process(ctx, open)
		if err != nil {
			return err
		}
		var still []spec
		for _, one := range open {
			if !ended[one.Name] {
				still = append(still, one)
			}
		}
		open = still
	}
	return ctx.Err()
}

// process runs one process of the suite; it returns which specs have a result, which is at least one.
func (s *suite) process(ctx context.Context, specs []spec) (map[string]bool, error) {
	log, err := s.newLog()
	if err != nil {
		return nil, err
	}
	defer log.Close()
	pipe, tell, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	command := exec.Command(s.paths.suite(), s.flags(specs)...)
	command.ExtraFiles = []*os.File{tell}
	command.Stdout, command.Stderr = log, log
	command.Dir = s.paths.out()
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	err = command.Start()
	tell.Close()
	if err != nil {
		pipe.Close()
		return nil, err
	}

	limits := map[string]time.Duration{}
	for _, one := range specs {
		limits[one.Name] = one.limit()
	}
	ended := map[string]bool{}
	running := ""
	// Until the first spec starts: the suite's own setup.
	deadline := time.NewTimer(5 * time.Minute)
	defer deadline.Stop()
	asked := false
	told := events(pipe)
	for open := true; open; {
		select {
		case what, ok := <-told:
			limit, known := limits[what.Name]
			switch {
			case !ok:
				open = false
			case !known:
			case what.State == event.Started:
				running = what.Name
				deadline.Reset(limit)
			default:
				running = ""
				ended[what.Name] = true
				deadline.Reset(grace)
				if err := s.record(what, log.Name()); err != nil {
					return nil, err
				}
			}
		case <-deadline.C:
			if asked {
				command.Process.Kill()
			} else {
				command.Process.Signal(syscall.SIGINT)
				asked = true
				deadline.Reset(grace)
			}
		case <-ctx.Done():
			command.Process.Kill()
			command.Wait()
			return ended, ctx.Err()
		}
	}
	died := command.Wait()
	if len(ended) == 0 || running != "" {
		// The spec that ran, or, if it never came so far, the first, has the blame; the others get another process.
		if running == "" {
			running = specs[0].Name
		}
		what := event.Event{Name: running, State: "failed", Message: fmt.Sprintf("the process ended (%v): %s", died, lastWords(log.Name()))}
		if asked {
			what.State = "timedout"
		}
		ended[running] = true
		if err := s.record(what, log.Name()); err != nil {
			return nil, err
		}
	}
	return ended, nil
}

func (s *suite) flags(specs []spec) []string {
	names := make([]string, len(specs))
	for i, one := range specs {
		names[i] = regexp.QuoteMeta(one.Name)
	}
	return []string{
		"--kubeconfig=" + s.kubeconfig,
		"--kubectl-path=" + s.paths.kubectl(),
		"--results=/dev/fd/3",
		"--disable-log-dump",
		"--ginkgo.focus=(?:" + strings.Join(names, "|") + ")$",
		"--ginkgo.timeout=24h",
		"--ginkgo.no-color",
		"--ginkgo.silence-skips",
		"--ginkgo.v",
	}
}

func (s *suite) record(what event.Event, log string) error {
	one := result{Name: what.Name, State: what.State, Seconds: what.Seconds, Log: filepath.Base(log)}
	if !one.passed() {
		// The report names no place of this machine.
		one.Cause = strings.ReplaceAll(cause(what), s.paths.root+"/", "")
	}
	s.serial.Lock()
	defer s.serial.Unlock()
	s.done++
	fmt.Printf("%3d/%d %-7s %5.0f s  %s\n", s.done, s.total, one.State, one.Seconds, one.Name)
	if one.Cause != "" {
		fmt.Printf("        %s\n", one.Cause)
	}
	return s.results.add(one)
}

func (s *suite) newLog() (*os.File, error) {
	s.serial.Lock()
	defer s.serial.Unlock()
	s.processes++
	name := fmt.Sprintf("%s-%03d.log", time.Now().UTC().Format("150405"), s.processes)
	return os.Create(filepath.Join(s.paths.logs(), name))
}

var (
	colours = regexp.MustCompile(`\x1b\[[0-9;]*m`)
	panics  = regexp.MustCompile(`Your Test Panicked\s+(\S+)`)
)

// lastWords is the place of a panic, or the last line of a log that says something.
func lastWords(log string) string {
	raw, err := os.ReadFile(log)
	if err != nil {
		return err.Error()
	}
	text := colours.ReplaceAllString(string(raw), "")
	if found := panics.FindStringSubmatch(text); found != nil {
		return "panic at " + found[1]
	}
	lines := strings.Split(text, "\n")
	for i := len(lines) - 1; i >= 0; i-- {
		line := strings.TrimSpace(lines[i])
		if line != "" && line != "FAIL" && !strings.HasPrefix(line, "---") {
			return line
		}
	}
	return "it said nothing"
}
