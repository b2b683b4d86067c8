ip address add 10.0.2.2/24 dev eth0
ip route add default via 10.0.2.1
