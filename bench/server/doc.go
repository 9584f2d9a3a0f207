// Package server runs programs that are measured, each as a process of its own, and reads from the kernel what they use: CPU
// time, memory, open files. [Parley] is the one that this repository builds.
//
// It measures whole processes from outside, so nothing a program says of itself counts. It knows nothing of rooms and packets. A
// program that it started ends with [Process.Stop], which its starter calls.
package server
