package clientgo

import (
	"context"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

func TestLeadershipPassesOn(t *testing.T) {
	ctx, client := within(t), typed(t)
	leads := make(chan string)
	candidate := func(ctx context.Context, name string) (stop func()) {
		lock, err := resourcelock.New(resourcelock.LeasesResourceLock, here, "leader", client.CoreV1(),
			client.CoordinationV1(), resourcelock.ResourceLockConfig{Identity: name})
		must(t, err)
		ctx, cancel := context.WithCancel(ctx)
		done := make(chan struct{})
		go func() {
			defer close(done)
			leaderelection.RunOrDie(ctx, leaderelection.LeaderElectionConfig{
				Lock: lock, LeaseDuration: 10 * time.Second, RenewDeadline: 5 * time.Second,
				RetryPeriod: 100 * time.Millisecond, ReleaseOnCancel: true,
				Callbacks: leaderelection.LeaderCallbacks{
					OnStartedLeading: func(context.Context) { leads <- name },
					OnStoppedLeading: func() {},
				},
			})
		}()
		return func() { cancel(); <-done }
	}
	next := func() string {
		select {
		case name := <-leads:
			return name
		case <-ctx.Done():
			t.Fatal("nobody leads")
			return ""
		}
	}
	stopFirst := candidate(ctx, "first")
	equal(t, "leader", next(), "first")
	stopSecond := candidate(ctx, "second")
	lease, err := client.CoordinationV1().Leases(here).Get(ctx, "leader", metav1.GetOptions{})
	must(t, err)
	equal(t, "holder", *lease.Spec.HolderIdentity, "first")
	stopFirst()
	equal(t, "leader after the first gave up", next(), "second")
	lease, err = client.CoordinationV1().Leases(here).Get(ctx, "leader", metav1.GetOptions{})
	must(t, err)
	equal(t, "changes of leadership", *lease.Spec.LeaseTransitions, 1)
	stopSecond()
	lease, err = client.CoordinationV1().Leases(here).Get(ctx, "leader", metav1.GetOptions{})
	must(t, err)
	equal(t, "holder in the end", *lease.Spec.HolderIdentity, "")
}
