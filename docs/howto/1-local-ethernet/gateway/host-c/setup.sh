# carrier network: all this host needs to know of it
ip address add 10.0.0.3/32 dev eth0
ip route add 10.0.0.1 dev eth0
