// Package plot fits straight lines to what was measured, tells whether a series grows, and draws both as SVG; a Timeline shows
// several series one below the other.
package plot
