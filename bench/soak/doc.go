// Package soak finds out whether a node uses more and more while people come, lose their sockets and go: goroutines, open files,
// memory. A real node runs as a process of its own; its guests are the public client's.
package soak
