module heartline.peers/cihangir

go 1.21

require github.com/cihangir/presence v0.0.0-20141108005617-943ffb0696b6

require (
	github.com/garyburd/redigo v1.6.0 // indirect
	github.com/koding/redis v0.0.0-20171009125031-e1d6d2cba04b // indirect
)
