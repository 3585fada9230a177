// Package deps holds the project's direction: which package may import which.
// It has no code, only tests that read the tree. docs/design.md §3 draws the
// same as a picture.
package deps
