# carrier network, and the way to the firewall
ip address add 10.0.0.1/24 dev eth0
ip address add 198.51.100.2/32 peer 198.51.100.1 dev eth1
ip route add default via 198.51.100.1 dev eth1
sysctl -w net.ipv4.ip_forward=1
sysctl -w net.ipv4.conf.default.send_redirects=0
