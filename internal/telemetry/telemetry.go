// Package telemetry is how a Parley process tells what it does: counters, gauges and histograms in the Prometheus text
// format, structured logs that hold no secrets, and the request ids that tie one join together from REST through
// signalling to media.
//
// It is the one door to the metrics library. A process has one set of metrics, like it has one standard error: asking
// for the same name twice gives the same metric. It decides nothing and serves nothing; api mounts Handler.
package telemetry
