// Package path measures what forwarding a packet costs, in CPU time of the whole server process, for three contenders side by
// side: the floor, a process that only hands datagrams to the kernel; Parley's own binary; and a plain SFU made of pion's parts
// (the programs in bench/path/floor and bench/path/pion). All three send datagrams of the same size to the same number of
// addresses, whose sockets are the same kind and are read in the same way. DESIGN.md says how and why.
//
// [Measure] yields a [Result] a load; results are kept in bench/results and [Compare] judges new ones by an old one.
package path
