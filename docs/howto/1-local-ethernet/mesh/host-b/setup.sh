# carrier network
ip address add 10.0.0.2/24 dev eth0
