package api

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/parley-sfu/parley/node/grant"
)

// meeting is the durable record of a meeting, as it is stored.
type meeting struct {
	ID            string     `json:"id"`
	Title         string     `json:"title"`
	Host          string     `json:"host"` // the subject of the user token that made it
	ScheduledAt   *time.Time `json:"scheduled_at"`
	Settings      settings   `json:"settings"`
	Revision      uint64     `json:"revision"`        // grows with every change
	HostKeySHA256 []byte     `json:"host_key_sha256"` // the key itself is told once and kept nowhere
	CreatedAt     time.Time  `json:"created_at"`
	EndedAt       *time.Time `json:"ended_at,omitempty"`
}

// settings are what a meeting's host decides.
type settings struct {
	MaxParticipants int  `json:"max_participants"`
	MaxCameras      int  `json:"max_cameras"`
	WaitingRoom     bool `json:"waiting_room"`
	Guests          bool `json:"guests"`
}

func defaultSettings() settings {
	return settings{MaxParticipants: 100, MaxCameras: 25}
}

// granted is the snapshot of the settings that travels in join tokens.
func (m *meeting) granted() grant.Settings {
	return grant.Settings{
		Revision: m.Revision, MaxParticipants: m.Settings.MaxParticipants, MaxCameras: m.Settings.MaxCameras,
		WaitingRoom: m.Settings.WaitingRoom, Guests: m.Settings.Guests,
	}
}

func (m *meeting) ended() bool { return m.EndedAt != nil }

// isHostKey compares in constant time. The stored sum is of a random key of 130 bits, so that nothing slower than
// SHA-256 is needed.
func (m *meeting) isHostKey(key string) bool {
	sum := sha256.Sum256([]byte(key))
	return subtle.ConstantTimeCompare(sum[:], m.HostKeySHA256) == 1
}

func sumOf(hostKey string) []byte {
	sum := sha256.Sum256([]byte(hostKey))
	return sum[:]
}

// The prefixes of ids.
const (
	meetingPrefix     = "mtg_"
	participantPrefix = "pt_"
)

// newID returns an unguessable id: 26 characters of base32 after the prefix.
func newID(prefix string) string { return prefix + newSecret() }

// newSecret returns 130 random bits in lower-case base32.
func newSecret() string { return strings.ToLower(rand.Text()) }

// isID keeps everything but ids out of store keys and room names.
func isID(s, prefix string) bool {
	rest, ok := strings.CutPrefix(s, prefix)
	return ok && len(rest) >= 20 && len(rest) <= 40 && strings.Trim(rest, "abcdefghijklmnopqrstuvwxyz234567") == ""
}

// The bounds of what people write.
const (
	maxTitleRunes      = 200
	maxNameRunes       = 64
	maxParticipantsCap = 1000
	maxCamerasCap      = 50
)

// meetingInput is the body of create and change.
type meetingInput struct {
	Title       optional[string]        `json:"title"`
	ScheduledAt nullable[time.Time]     `json:"scheduled_at"`
	Settings    optional[settingsInput] `json:"settings"`
}

type settingsInput struct {
	MaxParticipants optional[int]  `json:"max_participants"`
	MaxCameras      optional[int]  `json:"max_cameras"`
	WaitingRoom     optional[bool] `json:"waiting_room"`
	Guests          optional[bool] `json:"guests"`
}

// apply makes m what the input says, or says all that is wrong with the input.
func (in *meetingInput) apply(m *meeting) error {
	var faults []Fault
	if in.Title.set {
		m.Title = strings.TrimSpace(in.Title.value)
		faults = appendTextFault(faults, "#/title", m.Title, 1, maxTitleRunes)
	}
	if in.ScheduledAt.set {
		m.ScheduledAt = in.ScheduledAt.value
	}
	return invalid(append(faults, in.Settings.value.apply(&m.Settings)...))
}

func (in *settingsInput) apply(s *settings) []Fault {
	var faults []Fault
	number := func(dst *int, from optional[int], name string, least, most int) {
		if !from.set {
			return
		}
		*dst = from.value
		if from.value < least || from.value > most {
			faults = append(faults, Fault{Pointer: "#/settings/" + name, Detail: fmt.Sprintf("must be between %d and %d", least, most)})
		}
	}
	number(&s.MaxParticipants, in.MaxParticipants, "max_participants", 1, maxParticipantsCap)
	number(&s.MaxCameras, in.MaxCameras, "max_cameras", 0, maxCamerasCap)
	if in.WaitingRoom.set {
		s.WaitingRoom = in.WaitingRoom.value
	}
	if in.Guests.set {
		s.Guests = in.Guests.value
	}
	return faults
}

func appendTextFault(faults []Fault, pointer, text string, least, most int) []Fault {
	switch n := utf8.RuneCountInString(text); {
	case n < least || n > most:
		return append(faults, Fault{Pointer: pointer, Detail: fmt.Sprintf("must have %d to %d characters", least, most)})
	case strings.ContainsFunc(text, unicode.IsControl):
		return append(faults, Fault{Pointer: pointer, Detail: "must not have control characters"})
	}
	return faults
}

// invalid is the answer to a request whose form is right and whose content is not, with every fault.
func invalid(faults []Fault) error {
	if len(faults) == 0 {
		return nil
	}
	at := strings.TrimPrefix(faults[0].Pointer, "#/") + faults[0].Parameter
	f := fail(http.StatusUnprocessableEntity, "validation_failed", "%s %s.", strings.ReplaceAll(at, "/", "."), faults[0].Detail)
	if len(faults) > 1 {
		f.detail = fmt.Sprintf("%d fields are wrong; see errors.", len(faults))
	}
	f.faults = faults
	return f
}

// meetingView is a meeting as the API shows it.
type meetingView struct {
	ID          string     `json:"id"`
	Title       string     `json:"title"`
	Status      string     `json:"status"` // open, ended
	Host        string     `json:"host"`
	ScheduledAt *time.Time `json:"scheduled_at"`
	Settings    settings   `json:"settings"`
	Revision    uint64     `json:"revision"`
	Locked      bool       `json:"locked"`
	JoinURL     string     `json:"join_url"`
	CreatedAt   time.Time  `json:"created_at"`
	EndedAt     *time.Time `json:"ended_at"`
}

func (s *Server) view(m *meeting) meetingView {
	status := "open"
	if m.ended() {
		status = "ended"
	}
	return meetingView{
		ID: m.ID, Title: m.Title, Status: status, Host: m.Host, ScheduledAt: m.ScheduledAt, Settings: m.Settings,
		Revision: m.Revision, Locked: s.deps.Signal.Locked(m.ID), JoinURL: s.cfg.PublicURL + "/m/" + m.ID,
		CreatedAt: m.CreatedAt, EndedAt: m.EndedAt,
	}
}
