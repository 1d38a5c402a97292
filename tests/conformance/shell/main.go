// Shell is /bin/sh of the busybox image. Upstream's tests want the messages of busybox's shell, and variables whose names
// are no identifiers; the shell of Debian's busybox takes those away from its commands, so where there are some, bash runs.
package main

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"syscall"
)

var identifier = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

func main() {
	program := "/usr/bin/busybox"
	for _, variable := range os.Environ() {
		if name, _, _ := strings.Cut(variable, "="); !identifier.MatchString(name) {
			program = "/usr/bin/bash"
		}
	}
	// Both go by the name that they are called by.
	err := syscall.Exec(program, os.Args, os.Environ())
	fmt.Fprintln(os.Stderr, program+":", err)
	os.Exit(127)
}
