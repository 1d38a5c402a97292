package clientgo

import (
	"testing"

	authentication "k8s.io/api/authentication/v1"
	authorization "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
)

func TestTokensAndRoles(t *testing.T) {
	ctx, client := within(t), typed(t)
	accounts := client.CoreV1().ServiceAccounts(here)
	_, err := accounts.Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "reader"}}, metav1.CreateOptions{})
	must(t, err)
	token, err := accounts.CreateToken(ctx, "reader", &authentication.TokenRequest{
		Spec: authentication.TokenRequestSpec{ExpirationSeconds: ptr.To[int64](600)},
	}, metav1.CreateOptions{})
	must(t, err)
	review, err := client.AuthenticationV1().TokenReviews().Create(ctx, &authentication.TokenReview{
		Spec: authentication.TokenReviewSpec{Token: token.Status.Token},
	}, metav1.CreateOptions{})
	must(t, err)
	equal(t, "user", review.Status.User.Username, "system:serviceaccount:default:reader")

	as := rest.AnonymousClientConfig(config(t))
	as.BearerToken = token.Status.Token
	reader, err := kubernetes.NewForConfig(as)
	must(t, err)
	_, err = reader.CoreV1().ConfigMaps(here).List(ctx, metav1.ListOptions{})
	refused(t, err, apierrors.IsForbidden)
	_, err = client.RbacV1().Roles(here).Create(ctx, &rbacv1.Role{
		ObjectMeta: metav1.ObjectMeta{Name: "reader"},
		Rules:      []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"configmaps"}, Verbs: []string{"list"}}},
	}, metav1.CreateOptions{})
	must(t, err)
	_, err = client.RbacV1().RoleBindings(here).Create(ctx, &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "reader"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "reader"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: "reader", Namespace: here}},
	}, metav1.CreateOptions{})
	must(t, err)
	eventually(t, "the role counts", func() bool {
		_, err := reader.CoreV1().ConfigMaps(here).List(ctx, metav1.ListOptions{})
		return err == nil
	})
	access := func(verb string) bool {
		answer, err := reader.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, &authorization.SelfSubjectAccessReview{
			Spec: authorization.SelfSubjectAccessReviewSpec{ResourceAttributes: &authorization.ResourceAttributes{
				Namespace: here, Verb: verb, Resource: "configmaps",
			}},
		}, metav1.CreateOptions{})
		must(t, err)
		return answer.Status.Allowed
	}
	equal(t, "may list", access("list"), true)
	equal(t, "may delete", access("delete"), false)

	impersonating := config(t)
	impersonating.Impersonate = rest.ImpersonationConfig{UserName: "somebody", Groups: []string{"people"}}
	somebody, err := kubernetes.NewForConfig(impersonating)
	must(t, err)
	self, err := somebody.AuthenticationV1().SelfSubjectReviews().Create(ctx, &authentication.SelfSubjectReview{}, metav1.CreateOptions{})
	must(t, err)
	equal(t, "who I am", self.Status.UserInfo.Username, "somebody")
}
