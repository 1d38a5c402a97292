package main

import (
	"flag"
	"fmt"
	"os"

	"github.com/go-logr/logr/funcr"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"
)

// newManager is a manager that runs the operator.
func newManager(cluster *rest.Config, settings Settings, electIn string) (ctrl.Manager, error) {
	known := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{scheme.AddToScheme, AddToScheme} {
		if err := add(known); err != nil {
			return nil, err
		}
	}
	mgr, err := ctrl.NewManager(cluster, ctrl.Options{
		Scheme: known, Metrics: server.Options{BindAddress: "0"},
		LeaderElection: electIn != "", LeaderElectionID: Name, LeaderElectionNamespace: electIn,
		LeaderElectionReleaseOnCancel: true,
		// Tests start it again in one process.
		Controller: config.Controller{SkipNameValidation: ptr.To(true)},
	})
	if err != nil {
		return nil, err
	}
	reconciler := &Reconciler{Client: mgr.GetClient(), Events: mgr.GetEventRecorder(Name), Settings: settings}
	return mgr, reconciler.SetUp(mgr)
}

func main() {
	var settings Settings
	var electIn string
	flag.StringVar(&settings.Domain, "domain", "localhost", "sites that name no host are NAME.NAMESPACE of this domain")
	flag.StringVar(&settings.Image, "image", "busybox:1", "image of the pods: anything with busybox's httpd")
	flag.StringVar(&electIn, "elect-in", "", "namespace of the lease")
	flag.Parse()
	ctrl.SetLogger(funcr.New(func(prefix, text string) { fmt.Fprintln(os.Stderr, prefix, text) }, funcr.Options{}))
	log := ctrl.Log.WithName("main")
	mgr, err := newManager(ctrl.GetConfigOrDie(), settings, electIn)
	if err == nil {
		err = mgr.Start(ctrl.SetupSignalHandler())
	}
	if err != nil {
		log.Error(err, "the operator ended")
		os.Exit(1)
	}
}
