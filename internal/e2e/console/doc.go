// Package console drives the console of the real program in a real browser: every
// screen with script, without, and by keyboard; what people come for, in clicks;
// and texts that are meant to do harm. Which screens there are is the program's to
// say: it lists its routes, and the pages lead to each other.
//
//	go test ./internal/e2e/console
//	go test ./internal/e2e/console -run Screenshots -update
package console
