package store

import (
	"regexp"
	"testing"
)

// TestSecretsDontCollide makes a million secrets of sessions. Each has the form by
// which scanners of source code find one that was leaked.
func TestSecretsDontCollide(t *testing.T) {
	t.Parallel()
	const many = 1_000_000
	form := regexp.MustCompile(`^ghu_[A-Z2-7]{52}$`)
	seen := make(map[[16]byte]struct{}, many)
	collided := 0
	for i := range many {
		secret := newSecret(SessionPrefix)
		if i%1000 == 0 && !form.MatchString(secret) {
			t.Fatalf("%q has another form than %s", secret, form)
		}
		beginning := [16]byte(hashSecret(secret))
		if _, there := seen[beginning]; there {
			collided++
		}
		seen[beginning] = struct{}{}
	}
	t.Logf("session_collisions = %d of %d", collided, many)
	if collided > 0 {
		t.Errorf("%d of %d secrets were there before", collided, many)
	}
}
