//go:build !linux

package udp

import "net"

// Direct is a TCP connection as package net has it.
type Direct struct{ conn *net.TCPConn }

// NewDirect wraps a connection, which stays the caller's.
func NewDirect(conn *net.TCPConn) *Direct { return &Direct{conn} }

// Read implements io.Reader.
func (d *Direct) Read(b []byte) (int, error) { return d.conn.Read(b) }

// TryWrite writes nothing here: it could wait.
func (d *Direct) TryWrite([]byte) (int, error) { return 0, nil }
