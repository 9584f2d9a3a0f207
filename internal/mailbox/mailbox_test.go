package mailbox

import (
	"slices"
	"testing"
	"testing/synctest"
)

func TestRunsInOrderAndOneAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m Mailbox
		var got []int
		for i := range 100 {
			m.Post(func() {
				got = append(got, i) // unguarded: the race detector objects if two run at once
				if i == 50 {
					m.Post(func() { got = append(got, 100) })
				}
			})
		}
		synctest.Wait()
		if len(got) != 101 || !slices.IsSorted(got) {
			t.Errorf("ran as %v", got)
		}
	})
}
