//go:build !linux

package pgtest

import "syscall"

// processAttributes can't tie a child's life to ours here: if the tests are
// killed, PostgreSQL stays.
func processAttributes(owner *syscall.Credential) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: owner, Setpgid: true}
}

// children is empty: PostgreSQL's processes end by themselves, a little later,
// when they see that their parent is gone.
func children(int) []int { return nil }
