package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/parley-sfu/parley/placement"
)

// allRoles are what a node does that was told nothing.
func allRoles() []string {
	return []string{placement.RoleAPI, placement.RoleSignal, placement.RoleMedia}
}

// does says whether the node has a role.
func (c Config) does(role string) bool { return len(c.Roles) == 0 || slices.Contains(c.Roles, role) }

// validateRoles refuses roles that do not exist, and a node that would miss what no other node can do for it.
func (c Config) validateRoles() error {
	var faults []error
	for i, role := range c.Roles {
		switch {
		case !slices.Contains(allRoles(), role):
			faults = append(faults, fmt.Errorf("roles: %q is none of %s", role, strings.Join(allRoles(), ", ")))
		case slices.Contains(c.Roles[:i], role):
			faults = append(faults, fmt.Errorf("roles: %q stands there twice", role))
		}
	}
	lacking := func(role string) bool { return !c.does(role) }
	if c.Cluster.Listen == "" && slices.ContainsFunc(allRoles(), lacking) {
		faults = append(faults, errors.New("roles: a node without a cluster does everything itself; set cluster.listen, or leave roles out"))
	}
	return errors.Join(faults...)
}

// httpPurpose is what the HTTP port is for.
func (c Config) httpPurpose() string {
	var parts []string
	if c.does(placement.RoleAPI) {
		parts = append(parts, "REST")
	}
	if c.does(placement.RoleSignal) {
		parts = append(parts, "signalling")
	}
	if c.does(placement.RoleAPI) {
		parts = append(parts, "the meeting page")
	}
	switch n := len(parts); n {
	case 0:
		return "health, metrics and what the cluster does"
	case 1:
		return parts[0]
	default:
		return strings.Join(parts[:n-1], ", ") + " and " + parts[n-1]
	}
}
