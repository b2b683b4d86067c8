# carrier network
ip address add 10.0.0.3/24 dev eth0
