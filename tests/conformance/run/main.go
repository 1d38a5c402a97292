// Run runs upstream's conformance tests against a cluster that it starts itself, and writes docs/conformance.md.
//
// It is run in the root of the repository and reads its options from the environment, as make passes them: FOCUS and SKIP
// are regular expressions on names, SHARD=k/n takes every nth test, ONLY is a file of names, PROCS says how many
// processes run tests side by side, NODES how many nodes the cluster has, PROA is the program if not the release's.
// Without FOCUS and ONLY a run that was cut off goes on where it was.
package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"proa.test/conformance/images"
)

// upstream is the module that the tests come from.
const upstream = "k8s.io/kubernetes"

// releaseOf is the version of a module in go.mod, such as v1.37.2.
func releaseOf(module string) (string, error) {
	info, ok := debug.ReadBuildInfo()
	if ok {
		for _, dependency := range info.Deps {
			if dependency.Path == module {
				return dependency.Version, nil
			}
		}
	}
	return "", fmt.Errorf("this program was built without the module %s", module)
}

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	if err := conformance(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
		os.Exit(1)
	}
}

// onlyRun keeps other runs away until the file is closed: the cluster's name and networks are the same for all checkouts.
func onlyRun() (*os.File, error) {
	name := filepath.Join(os.TempDir(), "proa-conformance.lock")
	lock, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		lock.Close()
		return nil, fmt.Errorf("another run is at work on this machine (%s is locked)", name)
	}
	return lock, nil
}

func conformance(ctx context.Context) error {
	root, err := filepath.Abs(".")
	if err != nil {
		return err
	}
	p := paths{root: root}
	chosen, err := selectionFrom(os.Getenv("FOCUS"), os.Getenv("SKIP"), os.Getenv("SHARD"), os.Getenv("ONLY"))
	if err != nil {
		return err
	}
	processes, err := number("PROCS", 4)
	if err != nil {
		return err
	}
	nodes, err := number("NODES", 2)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(p.logs(), 0o755); err != nil {
		return err
	}
	lock, err := onlyRun()
	if err != nil {
		return err
	}
	defer lock.Close()
	say := steps()

	release, err := releaseOf(upstream)
	if err != nil {
		return err
	}
	if err := build(p, release); err != nil {
		return err
	}
	all, err := list()
	if err != nil {
		return err
	}
	built, err := dryRun(p.suite())
	if err != nil {
		return err
	}
	if err := compare(all, built); err != nil {
		return err
	}
	say("the suite is built: %d conformance tests, as in the module's list", len(built))

	specs, err := chosen.from(all)
	if err != nil {
		return err
	}
	if len(specs) == 0 {
		return errors.New("nothing to run: no test is selected")
	}
	done, err := load(p.results())
	if err != nil {
		return err
	}
	if !chosen.isNamed() {
		open := done.without(specs)
		switch {
		case len(open) == 0 && chosen.isAll():
			if err := os.Rename(p.results(), filepath.Join(p.out(), "results-before.jsonl")); err != nil {
				return err
			}
			if done, err = load(p.results()); err != nil {
				return err
			}
		case len(open) > 0 && len(open) < len(specs):
			say("%d of %d have a result; the run goes on with the others", len(specs)-len(open), len(specs))
			specs = open
		}
	}

	if err := images.Make(p.images(), p.module()); err != nil {
		return err
	}
	say("the images are there")
	program := filepath.Join(root, "target/release/proa")
	if given := os.Getenv("PROA"); given != "" {
		program = given
	}
	cluster, err := start(p, program, nodes)
	if err != nil {
		return err
	}
	say("the cluster is there; %d tests", len(specs))
	began := time.Now()
	s := &suite{paths: p, kubeconfig: cluster.kubeconfig(), results: done}
	failed := s.run(ctx, specs, processes)
	if chosen.only != nil {
		failed = errors.Join(failed, s.again(ctx, specs))
	}
	if !chosen.isNamed() {
		failed = errors.Join(failed, done.add(result{Wall: time.Since(began).Seconds()}))
	}
	// A run that was cut off has results too.
	return errors.Join(failed, cluster.stop(), conclude(p, release, all, specs, done, chosen))
}

// again runs the tests of a fixed list that failed once more, alone, if they are few: a machine that is busy with something
// else makes some fail. One that passes then is named, since it has a fault all the same.
func (s *suite) again(ctx context.Context, specs []spec) error {
	const few = 3
	failed := slices.DeleteFunc(slices.Clone(specs), func(one spec) bool { return s.results.byName[one.Name].passed() })
	if len(failed) == 0 || len(failed) > few {
		return nil
	}
	err := s.run(ctx, failed, 1)
	for _, one := range failed {
		if s.results.byName[one.Name].passed() {
			fmt.Printf("passed only the second time: %s\n", one.Name)
		}
	}
	return err
}

// conclude writes the report and says in the end what it comes to. It is an error if a test that passed in the last
// committed run fails now, or one that was asked for by name.
func conclude(p paths, release string, all, specs []spec, done *results, chosen selection) error {
	gone := lost(committed(p), done)
	names := passedNames(all, done)
	where := ""
	if chosen.only == nil {
		where = ", see docs/conformance.md"
		if err := os.WriteFile(filepath.Join(p.root, "docs/conformance.md"), []byte(report(release, all, done, gone)), 0o644); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(p.root, p.passed()), []byte(strings.Join(names, "\n")+"\n"), 0o644); err != nil {
			return err
		}
	}
	passed := count(specs, func(s spec) bool { return done.byName[s.Name].passed() })
	fmt.Printf("%d of %d passed; %d of all %d%s\n", passed, len(specs), len(names), len(all), where)
	if chosen.isNamed() {
		if passed < len(specs) {
			return fmt.Errorf("%d failed", len(specs)-passed)
		}
		return nil
	}
	if len(gone) > 0 {
		return fmt.Errorf("passed in the last committed run and fail now:\n%s", strings.Join(gone, "\n"))
	}
	return nil
}

// committed is the list of the last committed run; none if there is no such run.
func committed(p paths) []string {
	show := exec.Command("git", "show", "HEAD:"+p.passed())
	show.Dir = p.root
	text, err := show.Output()
	if err != nil {
		return nil
	}
	return strings.FieldsFunc(string(text), func(r rune) bool { return r == '\n' })
}

// build compiles the test binary, unless it was made from the same sources.
func build(p paths, release string) error {
	sum := sha256.New()
	sources, err := filepath.Glob(filepath.Join(p.module(), "*_test.go"))
	if err != nil {
		return err
	}
	sources = append(sources, filepath.Join(p.module(), "go.sum"), filepath.Join(p.module(), "event/event.go"))
	slices.Sort(sources)
	for _, source := range sources {
		text, err := os.ReadFile(source)
		if err != nil {
			return err
		}
		sum.Write(text)
	}
	stamp, made := p.suite()+".stamp", fmt.Sprintf("%x\n", sum.Sum(nil))
	if had, err := os.ReadFile(stamp); err == nil && string(had) == made {
		return nil
	}
	fmt.Fprintf(os.Stderr, "building upstream's tests %s (many minutes the first time)\n", release)
	parts := strings.Split(release, ".")
	flags := "-s -w"
	for _, target := range []string{"k8s.io/component-base/version", "k8s.io/client-go/pkg/version"} {
		flags += fmt.Sprintf(" -X %[1]s.gitVersion=%[2]s -X %[1]s.gitMajor=%[3]s -X %[1]s.gitMinor=%[4]s -X %[1]s.gitTreeState=clean",
			target, release, strings.TrimPrefix(parts[0], "v"), parts[1])
	}
	command := exec.Command("go", "test", "-c", "-vet=off", "-trimpath", "-buildvcs=false", "-ldflags", flags, "-o", p.suite(), ".")
	command.Dir = p.module()
	command.Env = append(os.Environ(), "CGO_ENABLED=0", "GOTOOLCHAIN=auto")
	command.Stdout, command.Stderr = os.Stderr, os.Stderr
	if err := command.Run(); err != nil {
		return fmt.Errorf("build the tests: %w", err)
	}
	return os.WriteFile(stamp, []byte(made), 0o644)
}

func number(variable string, otherwise int) (int, error) {
	text := os.Getenv(variable)
	if text == "" {
		return otherwise, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return 0, fmt.Errorf("%s=%s is not a positive number", variable, text)
	}
	return n, nil
}

// steps prints what was reached, and when.
func steps() func(format string, args ...any) {
	began := time.Now()
	return func(format string, args ...any) {
		fmt.Fprintf(os.Stderr, "%5.0f s  %s\n", time.Since(began).Seconds(), fmt.Sprintf(format, args...))
	}
}
