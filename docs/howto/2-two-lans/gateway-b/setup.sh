# the internet, as far as this gateway knows it
ip address add 2.2.2.2/32 dev if0
ip route add 1.1.1.1 dev if0
# the LAN
ip address add 10.0.2.1/24 dev eth0
sysctl -w net.ipv4.ip_forward=1
