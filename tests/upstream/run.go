package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// workers send scenarios side by side; the steps of one are sent one after another.
const workers = 6

// result is what became of one step.
type result struct {
	step        *Step
	scenario    *Scenario
	upstream    *answer
	proa        *answer
	namespace   string
	differences []difference
}

// runAll sends every scenario to both servers.
func runAll(ctx context.Context, upstream, proa *server, all []Scenario) ([]result, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	results := make([][]result, len(all))
	run := func(i int) {
		found, err := runOne(ctx, upstream, proa, &all[i], fmt.Sprintf("corpus-%04d", i))
		if err != nil {
			cancel(err)
		}
		results[i] = found
	}
	queue := make(chan int)
	var group sync.WaitGroup
	for range workers {
		group.Go(func() {
			for i := range queue {
				run(i)
			}
		})
	}
	for i := range all {
		if all[i].Alone {
			run(i)
		}
	}
	for i := range all {
		if !all[i].Alone {
			queue <- i
		}
	}
	close(queue)
	group.Wait()
	return slices.Concat(results...), context.Cause(ctx)
}

func runOne(ctx context.Context, upstream, proa *server, scenario *Scenario, namespace string) ([]result, error) {
	sessions := [2]*session{}
	for i, s := range []*server{upstream, proa} {
		sessions[i] = &session{server: s, namespace: namespace, saved: map[string]any{}}
		if err := sessions[i].prepare(ctx); err != nil {
			return nil, err
		}
	}
	var results []result
	for i := range scenario.Steps {
		found, err := runStep(ctx, sessions, &scenario.Steps[i])
		if err != nil {
			return results, err
		}
		found.scenario = scenario
		results = append(results, found)
	}
	return results, nil
}

// tries are made where a request changes nothing and the answers differ: upstream walks some maps in random order, so
// its answer is not the same each time.
const tries = 4

func runStep(ctx context.Context, sessions [2]*session, step *Step) (result, error) {
	found := result{step: step, namespace: sessions[0].namespace}
	var err error
	if found.proa, err = sessions[1].send(ctx, step); err != nil {
		return found, err
	}
	for range tries {
		if found.upstream, err = sessions[0].send(ctx, step); err != nil {
			return found, err
		}
		found.differences = compare(step, found.namespace, found.upstream, found.proa)
		if len(found.differences) == 0 || found.upstream.code < 400 || !strings.Contains(step.Do, "dryRun=All") {
			break
		}
	}
	return found, nil
}

// prepare makes the namespace with what controllers would put there.
func (s *session) prepare(ctx context.Context) error {
	for _, step := range []Step{
		{Do: "POST /api/v1/namespaces", Body: []byte(`{"metadata":{"name":"$ns"}}`)},
		{Do: "POST /api/v1/namespaces/$ns/serviceaccounts", Body: []byte(`{"metadata":{"name":"default"}}`)},
	} {
		step.name = "prepare"
		made, err := s.send(ctx, &step)
		if err != nil {
			return err
		}
		if made.code != 201 {
			return fmt.Errorf("%s: %s: %d %s", s.server.name, step.Do, made.code, made.text)
		}
	}
	return nil
}
