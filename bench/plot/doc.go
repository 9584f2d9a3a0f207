// Package plot fits straight lines to what was measured, tells whether a series grows, and draws both as SVG.
package plot
