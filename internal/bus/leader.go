package bus

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// leaderTimeout is how long the leader of a bucket has to confirm that there is no such key.
const leaderTimeout = time.Second

// What the client library reads of a stream comes from any server that has a copy, and it has no call for the leader alone; so
// these are the subject and the messages of JetStream's API (STREAM.MSG.GET), as far as they are needed.
type (
	leaderRequest struct {
		LastBySubject string `json:"last_by_subj"`
	}
	leaderAnswer struct {
		Error   *jetstream.APIError `json:"error"`
		Message *struct {
			Seq    uint64    `json:"seq"`
			Header []byte    `json:"hdrs"`
			Data   []byte    `json:"data"`
			Time   time.Time `json:"time"`
		} `json:"message"`
	}
)

// subjectOf is where a key of the bucket is written.
func (k *Bucket) subjectOf(key string) string { return "$KV." + k.cfg.Bucket + "." + key }

// askLeader reads the latest value of key from the one server that has seen every write. ErrUnavailable: nobody can say.
func (k *Bucket) askLeader(ctx context.Context, key string) (Entry, error) {
	e, err := k.fromLeader(ctx, key)
	return e, fail("bucket "+k.cfg.Bucket+": get "+key+" from the leader", err)
}

func (k *Bucket) fromLeader(ctx context.Context, key string) (Entry, error) {
	l, err := k.bus.current()
	if err != nil {
		return Entry{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, leaderTimeout)
	defer cancel()
	ask, err := json.Marshal(leaderRequest{LastBySubject: k.subjectOf(key)})
	if err != nil {
		return Entry{}, fmt.Errorf("encode: %w", err)
	}
	msg, err := l.conn.RequestWithContext(ctx, "$JS.API.STREAM.MSG.GET.KV_"+k.cfg.Bucket, ask)
	if err != nil {
		return Entry{}, err
	}
	var a leaderAnswer
	if err := json.Unmarshal(msg.Data, &a); err != nil {
		return Entry{}, fmt.Errorf("decode: %w", err)
	}
	switch {
	case a.Error != nil && a.Error.ErrorCode == jetstream.JSErrCodeMessageNotFound:
		return Entry{}, jetstream.ErrKeyNotFound
	case a.Error != nil:
		return Entry{}, a.Error
	case a.Message == nil:
		return Entry{}, jetstream.ErrKeyNotFound
	}
	if deleted, err := isMark(a.Message.Header); err != nil || deleted {
		if err == nil {
			err = jetstream.ErrKeyDeleted
		}
		return Entry{}, err
	}
	return Entry{Key: key, Value: a.Message.Data, Revision: a.Message.Seq, Created: a.Message.Time}, nil
}

// isMark says whether a message with this header marks that its key was deleted, or grew too old.
func isMark(header []byte) (bool, error) {
	if len(header) == 0 {
		return false, nil
	}
	h, err := nats.DecodeHeadersMsg(header)
	if err != nil {
		return false, fmt.Errorf("header: %w", err)
	}
	return h.Get("KV-Operation") != "" && h.Get("KV-Operation") != "PUT" || h.Get(jetstream.MarkerReasonHeader) != "", nil
}
