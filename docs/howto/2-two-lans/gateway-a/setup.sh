# the internet, as far as this gateway knows it
ip address add 1.1.1.1/32 dev if0
ip route add 2.2.2.2 dev if0
# the LAN
ip address add 10.0.1.1/24 dev eth0
sysctl -w net.ipv4.ip_forward=1
