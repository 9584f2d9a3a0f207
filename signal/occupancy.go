package signal

// Occupancy counts who is seated in each open room through this node, by meeting. A room whose only people here wait in
// the lobby counts 0; one that this node is only the home of is not there.
func (s *Service) Occupancy() map[string]int {
	rooms := map[string]int{}
	for _, r := range s.allRooms() {
		r.mu.Lock()
		if len(r.members) > 0 {
			rooms[r.meeting] = 0
		}
		for _, m := range r.members {
			if m.stage == seated {
				rooms[r.meeting]++
			}
		}
		r.mu.Unlock()
	}
	return rooms
}

// Homes are the meetings whose home this node is.
func (s *Service) Homes() (meetings []string) {
	for _, r := range s.allRooms() {
		r.mu.Lock()
		if r.kept {
			meetings = append(meetings, r.meeting)
		}
		r.mu.Unlock()
	}
	return meetings
}

// People counts everybody who is on this node: who sits, who waits in a lobby, and whose socket is lost for the moment.
func (s *Service) People() (n int) {
	for _, r := range s.allRooms() {
		r.mu.Lock()
		for _, m := range r.members {
			if m.stage != arriving && m.stage != gone {
				n++
			}
		}
		r.mu.Unlock()
	}
	return n
}
