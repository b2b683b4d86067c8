# the internet
ip address add 203.0.113.1/24 dev if0
ip route add default via 203.0.113.254
# the LAN at home
ip address add 10.0.1.1/24 dev eth0
ip address add fd00:1::1/64 dev eth0
sysctl -w net.ipv4.ip_forward=1
sysctl -w net.ipv6.conf.all.forwarding=1
# what laptops send to the internet leaves under this gateway's address
nft add table ip mobile
nft 'add chain ip mobile out { type nat hook postrouting priority srcnat; }'
nft add rule ip mobile out ip saddr 10.9.0.0/24 oifname if0 masquerade
