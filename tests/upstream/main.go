// Command upstream sends the same requests to kube-apiserver and to Proa and shows where the answers differ.
//
// It starts both servers, with etcd for the former, on loopback ports with a directory of their own, and ends them.
// A difference that known.yaml does not list makes it fail. `-record` writes upstream's answers to a small part of the
// corpus; tests/cluster compares Proa with them without Go. docs/upstream.md says more.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
)

type settings struct {
	kubeAPIServer, etcd, proa string
	only                      *regexp.Regexp
	recordTo, totalsTo        string
	full                      string
	keep                      bool
}

func main() {
	var s settings
	only := flag.String("only", "", "regular expression: only scenarios whose name it finds")
	flag.StringVar(&s.kubeAPIServer, "kube-apiserver", "target/tools/kube-apiserver", "upstream's server")
	flag.StringVar(&s.etcd, "etcd", "etcd", "its store")
	flag.StringVar(&s.proa, "proa", "target/debug/proa", "the server that is compared")
	flag.StringVar(&s.recordTo, "record", "", "write upstream's answers to a part of the corpus into this file")
	flag.StringVar(&s.totalsTo, "totals", "", "write the totals into this document, between its two marks")
	flag.StringVar(&s.full, "full", "", "write every difference into this file")
	flag.BoolVar(&s.keep, "keep", false, "keep the directory with the servers' logs")
	flag.Parse()
	s.programs()
	s.only = regexp.MustCompile(*only)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	failed, err := s.run(ctx)
	if err != nil {
		fmt.Fprintln(os.Stderr, "upstream:", err)
	}
	if failed || err != nil {
		os.Exit(1)
	}
}

// programs makes their paths absolute: each runs in a directory of its own.
func (s *settings) programs() {
	for _, program := range []*string{&s.kubeAPIServer, &s.etcd, &s.proa} {
		if !strings.Contains(*program, "/") {
			continue
		}
		if path, err := filepath.Abs(*program); err == nil {
			*program = path
		}
	}
}

// run starts the servers and compares; true: something differs that is not listed.
func (s *settings) run(ctx context.Context) (bool, error) {
	known, err := loadKnown()
	if err != nil {
		return false, err
	}
	directory, err := os.MkdirTemp("", "proa-upstream-")
	if err != nil {
		return false, err
	}
	f := &fleet{directory: directory}
	defer func() {
		f.stop()
		if s.keep {
			fmt.Println("logs:", directory)
			return
		}
		os.RemoveAll(directory)
	}()
	upstream, err := f.startUpstream(ctx, s.etcd, s.kubeAPIServer)
	if err != nil {
		return false, err
	}
	proa, err := f.startProa(ctx, s.proa)
	if err != nil {
		return false, err
	}
	documents, err := upstream.documents(ctx)
	if err != nil {
		return false, err
	}
	all, err := scenarios(documents)
	if err != nil {
		return false, err
	}
	var chosen []Scenario
	for _, one := range all {
		if s.only.MatchString(one.Name) {
			chosen = append(chosen, one)
		}
	}
	results, err := runAll(ctx, upstream, proa, chosen)
	if err != nil {
		return false, err
	}
	whole := len(chosen) == len(all)
	return s.report(results, known, whole)
}
