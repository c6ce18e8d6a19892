// Heartbeats as github.com/cihangir/presence takes them, against a Redis that is there:
//
//	cihangir ADDRESS SESSIONS BEATS
//
// Every session goes online once; then one line is printed, and BEATS beats follow. A second line ends it.
package main

import (
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/cihangir/presence"
)

const (
	database = 0
	lease    = 90 * time.Second
	// As many ids in one call as the package's own example has.
	batch = 1500
)

func main() {
	if len(os.Args) != 4 {
		fail("usage: cihangir ADDRESS SESSIONS BEATS")
	}
	sessions, beats := number(os.Args[2]), number(os.Args[3])
	backend, err := presence.NewRedis(os.Args[1], database, lease)
	check(err)
	session, err := presence.New(backend)
	check(err)
	send(session, sessions, sessions, 1)
	fmt.Println("online")
	// A stride, so that neighbours do not follow each other.
	send(session, beats, sessions, 7919)
	fmt.Println("done")
	// The harness reads this process's core time before it ends.
	var line string
	fmt.Scanln(&line)
	check(session.Close())
}

func send(session *presence.Session, count, sessions, stride uint64) {
	ids := make([]string, 0, batch)
	for at := uint64(0); at < count; at++ {
		number := at * stride % sessions
		ids = append(ids, fmt.Sprintf("u%015d/s%015d", number, number))
		if len(ids) == batch || at+1 == count {
			check(session.Online(ids...))
			ids = ids[:0]
		}
	}
}

func number(text string) uint64 {
	value, err := strconv.ParseUint(text, 10, 64)
	check(err)
	return value
}

func check(err error) {
	if err != nil {
		fail(err.Error())
	}
}

func fail(reason string) {
	fmt.Fprintln(os.Stderr, reason)
	os.Exit(1)
}
